"""Gradient checkpointing and bfloat16: what they change, and what they must not."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from omnithinker.errors import BadInput
from omnithinker.policy.loading import load_policy, load_trained
from omnithinker.policy.logprobs import completion_logprobs, token_batch
from omnithinker.policy.recompute import recompute_layers
from omnithinker.rollout.base import Sampling, sample_seed
from omnithinker.rollout.sampling import SamplingTensors, sample_tokens
from omnithinker.schedules.joint import joint_batches
from tests.builders.architectures import random_policy, sampled
from tests.builders.policy import generate, prompt_of, settings_of
from tests.builders.training import recipe_of, run, same, weights


def gradients(policy, prompts, rows):
    policy.model.zero_grad()
    logprob_BT = completion_logprobs(policy, token_batch(prompts, rows, policy.device))
    (logprob_BT * torch.arange(logprob_BT.numel()).view_as(logprob_BT).sin()).sum().backward()
    return [p.grad.clone() for p in policy.model.parameters()]


def kept_for_backward(policy, prompts, rows) -> int:
    """Numbers that the graph of a scoring pass holds outside of recomputed layers."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        completion_logprobs(policy, token_batch(prompts, rows, policy.device))
    return sum(kept)


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt2", "lfm2"])
def test_recomputed_layers_give_the_same_gradients_and_keep_less(family):
    policy = random_policy(family)
    prompts, rows = sampled(policy)
    plain, most = gradients(policy, prompts, rows), kept_for_backward(policy, prompts, rows)
    recompute_layers(policy.model)
    for one, two in zip(gradients(policy, prompts, rows), plain, strict=True):
        assert torch.allclose(one, two, atol=1e-6 * float(two.abs().max() + 1))
    assert kept_for_backward(policy, prompts, rows) < most / 2


@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_the_setting_changes_memory_and_not_the_run(lora, model_folder, tmp_path):
    held = {"lora": lora} if lora else {}
    runs = [
        run(recipe_of(model_folder, held=held | {"gradient_checkpointing": on}, betas={"a": 0.1, "b": 0}), tmp_path / n)
        for on, n in ((True, "on"), (False, "off"))
    ]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*map(weights, runs), strict=True))


@pytest.mark.parametrize("gpu", [False, True])
def test_auto_recomputes_and_halves_on_a_gpu_only(gpu):
    assert settings_of("x").uses_gradient_checkpointing(gpu) == settings_of("x").uses_autocast(gpu) == gpu
    assert settings_of("x", gradient_checkpointing=True).uses_gradient_checkpointing(gpu)
    assert not settings_of("x", gradient_checkpointing=False).uses_gradient_checkpointing(gpu)
    assert settings_of("x", compute="bfloat16").uses_autocast(gpu)
    assert not settings_of("x", compute="float32").uses_autocast(gpu)


@pytest.mark.parametrize("on", [True, False])
def test_gradient_checkpointing_keeps_less(on, model_folder):
    policy = load_trained(settings_of(model_folder, gradient_checkpointing=on), seed=0)
    plain = load_trained(settings_of(model_folder), seed=0)
    prompts, rows = sampled(plain)
    assert (kept_for_backward(policy, prompts, rows) < kept_for_backward(plain, prompts, rows)) == on


def test_a_model_without_layers_to_recompute_is_refused():
    with pytest.raises(BadInput, match="Linear cannot recompute layers"):
        recompute_layers(torch.nn.Linear(2, 2))


def test_bfloat16_products_keep_float32_weights(model_folder):
    whole, half = (load_policy(settings_of(model_folder, compute=compute)) for compute in ("float32", "bfloat16"))
    assert same(weights(whole), weights(half))
    prompts, rows = sampled(half)
    batch = token_batch(prompts, rows, half.device)
    exact, rounded = (completion_logprobs(p, batch).detach() for p in (whole, half))
    assert rounded.dtype == torch.float32
    assert 1e-4 < float((exact - rounded).abs().max()) < 0.5
    recorded = torch.zeros_like(rounded).masked_scatter(
        batch.action_mask_BT, torch.tensor([x for _, completion in rows for x in completion.logprobs])
    )
    assert float((recorded - rounded).abs().max()) < 0.5
    assert float((recorded - exact).abs().max()) > 1e-4


def test_tokens_are_sampled_in_full_precision_under_autocast():
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(1)) * 3
    candidates = SamplingTensors.of([Sampling(temperature=0.8, max_new_tokens=1)] * 3, torch.device("cpu"))
    plain = sample_tokens(logits, torch.tensor([0.1, 0.5, 0.9]), candidates)
    with torch.autocast("cpu", torch.bfloat16):
        half = sample_tokens(logits, torch.tensor([0.1, 0.5, 0.9]), candidates)
    assert all(torch.equal(one, two) for one, two in zip(plain, half, strict=True))


def test_the_number_format_ends_where_a_group_is_handed_over(model_folder):
    policy = load_policy(settings_of(model_folder, compute="bfloat16"))
    prompts = [prompt_of(policy, text) for text in ("a", "b")]
    limits = [Sampling(temperature=1.0, max_new_tokens=n) for n in (2, 4)]
    for _ in generate(policy, prompts, [[sample_seed(p)] for p in range(2)], limits):
        assert not torch.is_autocast_enabled("cpu")


def test_a_run_in_bfloat16_learns(model_folder, tmp_path):
    recipe = recipe_of(model_folder, learning_rate=1e-2, held={"compute": "bfloat16"})
    batches = joint_batches({"a": 6, "b": 6}, prompts_per_step=6, epochs=12, seed=0)
    policy = run(recipe, tmp_path / "run", schedule=batches)
    assert {weight.dtype for weight in policy.trained} == {torch.float32}
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    mean = [sum(r[f"task/{t}/reward"] for t in "ab" if f"task/{t}/reward" in r) / 2 for r in rows]
    assert sum(mean[-4:]) / 4 > sum(mean[:4]) / 4 + 0.2


class Conversions(TorchDispatchMode):
    """Counts the conversions of a weight's values to another format."""

    def __init__(self, weight) -> None:
        super().__init__()
        self.weight, self.count = weight, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._to_copy.default and args[0].data_ptr() == self.weight.data_ptr():
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("recomputed", [False, True])
def test_passes_that_share_converted_weights_give_the_same_gradients(recomputed):
    policy = replace(random_policy("qwen2"), bfloat16=True)
    prompts, rows = sampled(policy)
    if recomputed:
        recompute_layers(policy.model)
    weight = policy.model.model.layers[0].mlp.up_proj.weight
    found, conversions = [], []
    for context in (nullcontext, policy.converts_weights_once):
        policy.model.zero_grad()
        with context(), Conversions(weight) as counted:
            for part in (rows[:1], rows[1:]):
                batch = token_batch(prompts, part, policy.device)
                completion_logprobs(policy, batch).sum().backward()
                assert not torch.is_autocast_enabled("cpu")
        found.append([parameter.grad for parameter in policy.trained])
        conversions.append(counted.count)
    assert conversions[1] == 1 < conversions[0]
    # Gradients of the embedding, which is also the head, may be added up in another order.
    assert all(torch.allclose(a, b, rtol=0, atol=1e-7 * float(a.abs().max())) for a, b in zip(*found, strict=True))
