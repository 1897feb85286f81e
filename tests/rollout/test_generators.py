"""The seam for generators: an engine of one's own trains a policy, and reports no entropies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from omnithinker.config.registry import GENERATORS
from omnithinker.config.sampling import SamplingSettings
from omnithinker.io.files import read_json_lines
from omnithinker.rollout.base import Sampling, make_generator, rollout, with_entropies
from omnithinker.rollout.native import NativeGenerator
from tests.builders.policy import generate, make_policy, prompt_of
from tests.builders.training import recipe_of, run, same, weights


class SilentEngine(NativeGenerator):
    """An engine that samples as the native generator does, and reports neither entropies nor log-probabilities."""

    synced, closed = 0, 0

    def generate(self, prompts, seeds_PG, sampling_P):
        for p, group in super().generate(prompts, seeds_PG, sampling_P):
            silent = (replace(one, entropies=None, logprobs=()) for one in group.trajectories)
            yield p, replace(group, trajectories=tuple(silent))

    def sync(self, policy):
        type(self).synced += 1
        super().sync(policy)

    def close(self):
        type(self).closed += 1
        super().close()


@pytest.fixture
def silent(monkeypatch, register):
    register(GENERATORS, "silent", f"{__name__}:SilentEngine")
    monkeypatch.setattr(SilentEngine, "synced", 0)
    monkeypatch.setattr(SilentEngine, "closed", 0)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("minibatches", [1, 3])
def test_a_registered_generator_trains_a_policy(minibatches, model_folder, tmp_path):
    recipe = recipe_of(model_folder, betas={"a": 0.1, "b": 0.0}, minibatches=minibatches)
    expected = run(recipe, tmp_path / "native")
    sampling = recipe.sampling.model_copy(update={"generator": "silent"})
    policy = run(recipe.model_copy(update={"sampling": sampling}), tmp_path / "silent")
    assert SilentEngine.synced == 4
    ours, native = (read_json_lines(tmp_path / name / "metrics.jsonl") for name in ("silent", "native"))
    for one, other in zip(ours, native, strict=True):
        (key,) = [name for name in one if name.endswith("/entropy")]
        assert one[key] == pytest.approx(other[key], abs=1e-5)
    if minibatches == 1:
        assert same(weights(policy), weights(expected))
    else:  # log-probabilities of the trainer in place of the generator's
        pairs = zip(weights(policy), weights(expected), strict=True)
        assert all(torch.allclose(a, b, atol=1e-3) for a, b in pairs)


def test_absent_entropies_are_those_of_a_forward_pass():
    policy = make_policy()
    prompts = [prompt_of(policy, text, index=i) for i, text in enumerate(("a", "longer"))]
    for temperature in (0.0, 0.7):
        sampling = [Sampling(temperature=temperature, max_new_tokens=9)] * 2
        for _, group in generate(policy, prompts, [[1, 2, 3], [4]], sampling):
            silent = replace(group, trajectories=tuple(replace(one, entropies=None) for one in group.trajectories))
            assert silent.trajectories[0].mean_entropy is None
            for ours, theirs in zip(
                with_entropies(policy, silent, temperature).trajectories, group.trajectories, strict=True
            ):
                assert ours.entropies == pytest.approx(theirs.entropies, abs=1e-5)
            assert with_entropies(policy, group, temperature) is group


def test_an_unknown_generator_is_named():
    with pytest.raises(ValidationError, match="no generator 'nativ'; did you mean 'native'"):
        SamplingSettings(generator="nativ")


def test_the_native_generator_refuses_the_weights_of_another_policy(model_folder):
    policy = make_policy()
    generator = make_generator(policy, recipe_of(model_folder))
    generator.sync(policy)
    with pytest.raises(ValueError, match="the policy that it was created with"):
        generator.sync(make_policy())


def test_groups_come_in_the_order_of_their_last_token():
    policy = make_policy()
    prompts = [prompt_of(policy, "a", index=i) for i in range(2)]
    sampling = [Sampling(temperature=1.0, max_new_tokens=limit) for limit in (9, 2)]
    generator = NativeGenerator(policy)
    assert [p for p, _ in rollout(generator, policy, prompts, [[1, 2], [3, 4]], sampling)] == [1, 0]
