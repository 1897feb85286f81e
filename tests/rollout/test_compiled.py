"""Compiled decoding: it draws what uncompiled decoding draws, with code that is made once.

Most tests compile with PyTorch's ``eager`` backend, which traces a step as it would for real and then runs the
operations one by one: what may go wrong here is the step and its buffers. Real code is made in a few.
"""

from __future__ import annotations

import functools
import re
import shutil

import pytest
import torch
from pydantic import ValidationError
from rich.console import Console
from torch._dynamo.testing import CompileCounter
from torch._inductor.utils import run_and_get_code

from omnithinker.checks.model import check_model
from omnithinker.config.model import ModelSettings
from omnithinker.errors import BadInput
from omnithinker.policy.loading import load_policy, load_trained
from omnithinker.rollout.base import Sampling, sample_seed
from omnithinker.rollout.compiled import CompiledStep
from omnithinker.train.context import RunContext
from omnithinker.ui.view import View
from tests.builders.architectures import CANNOT_SHARE, FAMILIES, random_policy
from tests.builders.policy import LORA, generate, make_policy, prompt_of, settings_of
from tests.builders.training import Quiet, recipe_of, run, same, weights

needs_compiler = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
OUTGROWING = (40, 50, 5)
"""Limits with which the longest row needs a cache of 64 tokens, then one of 96."""


@pytest.fixture
def backend(monkeypatch):
    """Counts what is compiled, and runs it uncompiled."""
    torch._dynamo.reset()
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=counter))
    return counter


def sample(policy, count=8, limits=(12, 20, 5), **settings):
    """Trajectories by prompt and completion; rows leave at different times."""
    texts = ["ab", "a prompt that is longer than a window", "third"]
    prompts = [prompt_of(policy, text, index=i) for i, text in enumerate(texts)]
    seeds = [[sample_seed(text, g) for g in range(count)] for text in texts]
    sampling = [Sampling(temperature=1.0, max_new_tokens=limit) for limit in limits]
    found = generate(policy, prompts, seeds, sampling, **settings)
    return {(p, g): completion for p, group in found for g, completion in enumerate(group.trajectories)}


def assert_same(found, expected, tolerance=2e-5):
    assert found.keys() == expected.keys()
    for key, one in expected.items():
        assert found[key].token_ids == one.token_ids
        assert found[key].logprobs == pytest.approx(one.logprobs, abs=tolerance)
        assert found[key].entropies == pytest.approx(one.entropies, abs=tolerance)
        assert found[key].truncated == one.truncated


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in CANNOT_SHARE])
def test_every_family_draws_the_same(family, backend):
    policy = random_policy(family)
    assert_same(sample(policy, compile=True), sample(policy))
    assert backend.frame_count > 0


@needs_compiler
def test_real_code_draws_the_same():
    torch._dynamo.reset()
    policy = random_policy("gemma2")
    assert_same(sample(policy, compile=True, limits=OUTGROWING), sample(policy, limits=OUTGROWING), tolerance=1e-4)


@needs_compiler
def test_code_does_not_depend_on_how_many_rows_came_first():
    codes = []
    for first in (1, 40):
        torch._dynamo.reset()
        policy = make_policy()
        with torch._inductor.config.patch({"cpp.threads": 2, "force_disable_caches": True}):
            _, pieces = run_and_get_code(functools.partial(sample, policy, count=first, limits=(4, 4, 4), compile=True))
        # Symbols and comments are numbered anew every time.
        codes.append(re.sub(r"#.*|s\d+|/tmp/\S+", "", "\n".join(pieces)))
    assert codes[0]
    assert codes[0] == codes[1]


def test_a_single_row(backend):
    policy = make_policy()
    one = prompt_of(policy, "x"), [[5]], [Sampling(temperature=1.0, max_new_tokens=30)]
    (_, expected), (_, found) = (next(generate(policy, [one[0]], *one[1:], compile=c)) for c in (False, True))
    assert_same({0: found.trajectories[0]}, {0: expected.trajectories[0]})


def test_with_an_adapter_in_half_precision(backend, model_folder):
    settings = settings_of(model_folder, **LORA, compute="bfloat16")
    policy = load_trained(settings, seed=0)
    for name, weight in policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    found, expected = sample(policy, compile=True), sample(policy)
    assert backend.frame_count > 0
    with policy.without_adapter():
        assert sample(policy) != expected
    assert_same(found, expected, tolerance=0.1)


def test_code_is_made_once_per_length_for_any_rows_and_weights(backend):
    for seed, count in ((0, 8), (0, 5), (1, 8)):
        found = sample(random_policy("llama", seed=seed), compile=True, count=count, limits=OUTGROWING)
        assert max(len(completion.token_ids) for completion in found.values()) == OUTGROWING[1]
        assert backend.frame_count == 2


def test_buffers_stay_where_they_are_until_released():
    step = CompiledStep(make_policy().model)
    states = [torch.randn(4, 2, 70, 8) for _ in range(4)]

    def place(cache):
        return [(layer.keys.data_ptr(), layer.values.data_ptr()) for layer in cache.layers]

    first = step.hold(states, torch.arange(4), 70, capacity=100)
    assert first.layers[1].keys.shape == (4, 2, 96, 8)
    assert torch.equal(first.layers[1].keys[..., :70, :], states[2])
    fewer = step.hold([state for x in first.layers for state in (x.keys, x.values)], torch.tensor([3, 1]), 70, 100)
    assert torch.equal(fewer.layers[1].values[..., :70, :], states[3][[3, 1]])
    assert not fewer.layers[1].values[..., 70:, :].any()
    longer = step.hold(states, torch.arange(3), 66, capacity=40)
    assert place(first) == place(fewer) == place(longer)
    assert longer.get_max_length() == 96
    step.release()
    assert place(step.hold(states, torch.arange(4), 70, capacity=100)) != place(first)


def test_the_setting_compiles_and_an_evaluation_releases_its_buffers(backend, model_folder, monkeypatch):
    recipe = recipe_of(model_folder, held={"compile": True})
    released = []
    monkeypatch.setattr(CompiledStep, "release", lambda self: released.append(True))
    with RunContext(recipe, View(Console(quiet=True)).note) as context:
        context.evaluate_base()
    assert backend.frame_count > 0
    assert released == [True]


def test_an_interrupted_run_ends_as_if_it_had_not_been(backend, model_folder, tmp_path):
    recipe = recipe_of(model_folder, held={"compile": True})
    whole = run(recipe, tmp_path / "whole")
    torch._dynamo.reset()
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "parts", observer=Quiet(stop_after=2))
    torch._dynamo.reset()
    assert same(weights(whole), weights(run(recipe, tmp_path / "parts")))
    assert backend.frame_count > 0


def test_a_model_that_cannot_be_compiled_is_refused(monkeypatch, tmp_path):
    random_policy("lfm2").save(tmp_path)
    settings = ModelSettings(path=str(tmp_path), device="cpu", compile=True)
    message = "model.compile: Lfm2ForCausalLM has layers with a running state; set it to false"
    with pytest.raises(BadInput, match=message):
        load_policy(settings)
    section, outline = check_model(settings)
    assert outline is None
    assert section.problems == (message,)

    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=broken))
    with pytest.raises(BadInput, match=r"Qwen2ForCausalLM cannot be compiled here: .*no compiler here; set it to f"):
        sample(make_policy(), compile=True)


def test_kernels_of_attention_that_cannot_be_compiled_are_refused():
    with pytest.raises(ValidationError, match="'compile' supports attention 'auto', 'sdpa' or 'eager', not 'fl"):
        ModelSettings(compile=True, attention="flash_attention_2")
    assert ModelSettings(compile=True, attention="eager").compile
