"""Norms and gates that keep less: the same values to the bit, the same gradients, less memory."""

from __future__ import annotations

import pytest
import torch

from omnithinker.config.model import ModelSettings
from omnithinker.policy.lean import _GatedSiLU, _Norm, keep_less
from omnithinker.policy.loading import load_trained
from omnithinker.policy.logprobs import completion_logprobs, token_batch
from tests.builders.architectures import random_policy, sampled

LEAN = {"llama": 4 * 2 + 1 + 4, "qwen3": 4 * 4 + 1 + 4, "mistral": 4 * 2 + 1 + 4, "phi3": 4 * 2 + 1, "gpt2": 0}
"""Norms and gates of each family that are replaced: two norms per layer, four with norms of queries and keys, the last
one; a gate per layer unless gate and up are one matrix."""


@pytest.mark.parametrize("family", [*LEAN, "gemma2", "granite", "cohere"])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_values_are_the_same_to_the_bit_and_gradients_to_rounding(family, bfloat16):
    policy = random_policy(family)
    for parameter in policy.model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    prompts, rows = sampled(policy)
    batch, found = token_batch(prompts, rows, policy.device), []
    for lean in (False, True):
        if lean:
            keep_less(policy.model)
        policy.model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logprob_BT = completion_logprobs(policy, batch)
        (logprob_BT * torch.arange(logprob_BT.numel()).view_as(logprob_BT).sin()).sum().backward()
        found.append((logprob_BT.detach(), [p.grad for p in policy.model.parameters()]))
    (plain, plain_gradients), (changed, gradients) = found
    assert torch.equal(plain, changed)
    tolerance = 0.02 if bfloat16 else 1e-5
    for one, two in zip(gradients, plain_gradients, strict=True):
        assert torch.allclose(one, two, rtol=0, atol=tolerance * float(two.abs().max() + 1e-6))
    assert sum("forward" in vars(module) for module in policy.model.modules()) == LEAN.get(family, 0) or (
        family not in LEAN
    )


def test_gradients_are_those_of_the_definitions():
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(3, 4, generator=draw, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weight = torch.randn(4, generator=draw, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, weight: _Norm.apply(x, weight, 1e-3), (x, weight))
    assert torch.autograd.gradcheck(_GatedSiLU.apply, (x, y))


def test_a_loaded_policy_keeps_less(tmp_path):
    policy = random_policy("llama")
    policy.save(tmp_path)
    loaded = load_trained(ModelSettings(path=str(tmp_path), device="cpu"), seed=0)
    prompts, rows = sampled(policy)
    kept = {}
    for name, model in (("plain", policy), ("lean", loaded)):
        storages = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, s=storages: s.update({t.data_ptr(): t.numel()}) or t, lambda t: t
        ):
            completion_logprobs(model, token_batch(prompts, rows, model.device))
        kept[name] = sum(storages.values())
    assert kept["lean"] < 0.9 * kept["plain"]
