"""Presets equal the trainer they name: TRL's own GRPO trainer on the same tokens and rewards.

Both sides compute in float64, because the rounding of float32 depends on the processor.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch

from omnithinker.policy.loading import load_policy
from omnithinker.policy.logprobs import Reference, completion_logprobs
from omnithinker.train import advantages
from omnithinker.train.batching import group_samples, make_batch, split_evenly
from omnithinker.train.setup import make_optimizer
from omnithinker.train.trainer import update_policy, with_old_logprobs
from omnithinker.types import RolloutGroup, Score, Trajectory
from tests.builders.policy import compute_in_float64, make_policy, prompt_of
from tests.builders.training import recipe_of, samples_of

pytest.importorskip("trl", reason="the package trl is not installed")
from tests.builders.trl_trainer import trl_updates  # needs trl

pytestmark = [pytest.mark.trl, pytest.mark.filterwarnings("ignore")]

LEARNING_RATE = 0.003
LIMIT = 6
LENGTHS = ((3, 2, 1, 6), (2, 4, 1, 5), (5, 2, 2, 3), (1, 6, 4, 1))
"""12 tokens in each group, so that TRL's average over the whole batch is that over each minibatch."""
RAGGED = ((3, 2, 1, 6), (2, 4, 1, 5), (1, 1, 1, 3), (1, 1, 3, 1))
"""Other numbers of tokens; at least three in each group, because a single query has a softmax in float32."""
REWARDS = ((1.0, 0.0, 0.5, 0.25), (0.5, 0.5, 0.5, 0.5), (0.0, 1.0, 1.0, 0.0), (0.125, 0.75, 0.25, 0.1875))
"""Exact in float32, in which TRL receives rewards."""

MATCHING = {
    "paper": {"loss_type": "grpo", "use_bias_correction_kl": False},
    "dapo": {"epsilon_high": 0.28},
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none", "max_completion_length": LIMIT},
}
"""Settings of TRL for each preset, beyond its defaults."""


@pytest.fixture(autouse=True)
def float64(monkeypatch):
    compute_in_float64(monkeypatch)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(default)


def groups_of(lengths=LENGTHS) -> list[RolloutGroup]:
    policy, draw = make_policy(), torch.Generator().manual_seed(1)

    def tokens(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(1, 200, (length,), generator=draw).tolist())

    return [
        RolloutGroup(
            prompt=prompt_of(policy, "x" * (3 * p + 1), "a", p),
            trajectories=tuple(Trajectory(text="", token_ids=tokens(n)) for n in group_lengths),
            scores=tuple(Score(reward=r, components={}, correct=r) for r in group_rewards),
        )
        for p, (group_lengths, group_rewards) in enumerate(zip(lengths, REWARDS, strict=True))
    ]


def with_logprobs(policy, groups, recipe) -> list[RolloutGroup]:
    """The groups as the generator would have recorded them under the policy."""
    count = len(groups[0].trajectories)
    samples = [one for group in groups for one in group_samples(group, torch.ones(count), recipe).samples]
    with torch.no_grad():
        logprob_BT = completion_logprobs(policy, make_batch(samples, policy.device))
    known = [
        dataclasses.replace(one.trajectory, logprobs=tuple(logprob_T[: len(one.trajectory.token_ids)].tolist()))
        for one, logprob_T in zip(samples, logprob_BT, strict=True)
    ]
    return [
        dataclasses.replace(group, trajectories=tuple(known[p * count : (p + 1) * count]))
        for p, group in enumerate(groups)
    ]


def our_updates(folder, groups, recipe, theirs):
    """Loss and gradients of each of TRL's updates as our trainer computes them, from the weights TRL had."""
    policy = load_policy(recipe.model)
    policy.model.double()
    reference = Reference(load_policy(recipe.model))
    reference.policy.model.double()
    optimizer = make_optimizer(policy, recipe.training)
    parts = split_evenly(len(groups), recipe.training.minibatches)
    found = []
    for k, trl in enumerate(theirs):
        policy.model.load_state_dict(trl.weights, strict=False)
        if k % len(parts) == 0:  # a new rollout batch
            recorded = with_logprobs(policy, groups, recipe)
            minibatches = [samples_of([recorded[p] for p in members], recipe) for members in parts]
            if len(parts) > 1:
                minibatches = [with_old_logprobs(policy, minibatch, recipe) for minibatch in minibatches]
        values = update_policy(policy, reference, optimizer, minibatches[k % len(parts)], recipe, note=print)
        found.append((values, {name: p.grad.clone() for name, p in policy.model.named_parameters()}))
    return found


def assert_equal(theirs, ours, scales=None):
    """Equal to 1e-9, relative where numbers exceed 1; TRL's numbers times ``scales`` where it averages differently."""
    assert max(values.grad_norm for values, _ in ours) > 0.1
    for trl, (values, gradients), scale in zip(theirs, ours, scales or [1.0] * len(ours), strict=True):
        assert values.loss == pytest.approx(scale * trl.loss, rel=1e-9, abs=1e-9)
        assert set(gradients) == set(trl.gradients)
        allowed = 1e-9 * max(1.0, values.grad_norm)
        for name, gradient in gradients.items():
            assert float((gradient - scale * trl.gradients[name]).norm()) < allowed, name


def both(folder, work, monkeypatch, preset, groups, *, minibatches=1, beta=0.0, **settings):
    theirs = trl_updates(
        folder,
        work,
        groups,
        monkeypatch,
        minibatches=minibatches,
        beta=beta,
        learning_rate=LEARNING_RATE,
        **MATCHING[preset] | settings,
    )
    recipe = recipe_of(
        folder, preset=preset, minibatches=minibatches, betas={"a": beta}, max_grad_norm=1e9, prompts_per_step=4
    )
    return theirs, our_updates(folder, groups, recipe, theirs)


@pytest.fixture
def their_epsilon(monkeypatch):
    """TRL adds 1e-4 to the standard deviation."""
    monkeypatch.setattr(advantages, "EPSILON", 1e-4)


@pytest.mark.usefixtures("their_epsilon")
@pytest.mark.parametrize("preset", MATCHING)
@pytest.mark.parametrize("minibatches", [1, 2, 4])
def test_loss_and_gradients_are_trls(preset, minibatches, model_folder, tmp_path, monkeypatch):
    beta = 0.1 if preset == "paper" else 0.0
    theirs, ours = both(model_folder, tmp_path, monkeypatch, preset, groups_of(), minibatches=minibatches, beta=beta)
    assert len(theirs) == 2 * minibatches
    clipped = [share for values, _ in ours for shares in values.clip_frac.values() for share in shares]
    # With several updates per rollout batch the ratio leaves 1 far enough for the clip to act.
    assert (max(clipped) > 0) == (minibatches > 1)
    if beta:
        assert max(value for values, _ in ours for value in values.kl["a"]) > 0.01
    assert_equal(theirs, ours)


def test_epsilon_of_the_standard_deviation_is_a_difference(model_folder, tmp_path, monkeypatch):
    groups = groups_of()[:1]
    theirs, ours = both(model_folder, tmp_path, monkeypatch, "paper", groups)
    deviation = torch.tensor(REWARDS[0]).std().item()
    assert_equal(theirs, ours, [(deviation + 1e-4) / (deviation + 1e-6)] * 2)


@pytest.mark.usefixtures("their_epsilon")
def test_trl_averages_tokens_over_the_rollout_batch(model_folder, tmp_path, monkeypatch):
    groups = groups_of(RAGGED)
    theirs, ours = both(model_folder, tmp_path, monkeypatch, "dapo", groups, minibatches=2)
    tokens = [sum(map(sum, RAGGED[:2])), sum(map(sum, RAGGED[2:]))]
    assert tokens == [24, 12]
    assert_equal(theirs, ours, [sum(tokens) / 2 / n for n in tokens] * 2)


@pytest.mark.usefixtures("their_epsilon")
def test_trl_counts_undefined_completions_in_its_average(model_folder, tmp_path, monkeypatch):
    groups = [
        dataclasses.replace(group, scores=(dataclasses.replace(group.scores[0], reward=None), *group.scores[1:]))
        for group in groups_of()
    ]
    theirs, ours = both(model_folder, tmp_path, monkeypatch, "paper", groups)
    assert_equal(theirs, ours, [4 / 3] * 2)


@pytest.mark.usefixtures("their_epsilon")
def test_trl_weights_the_kl_term_by_the_ratio_by_default(model_folder, tmp_path, monkeypatch):
    theirs, ours = both(
        model_folder, tmp_path, monkeypatch, "paper", groups_of(), beta=0.1, use_bias_correction_kl=True
    )
    assert_equal(theirs[:1], ours[:1])  # no KL yet
    assert ours[1][0].loss == pytest.approx(theirs[1].loss, rel=1e-9, abs=1e-9)
    with pytest.raises(AssertionError, match="weight"):
        assert_equal(theirs[1:], ours[1:])
