"""Attention equals PyTorch's own, and keeps no more than it needs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from omnithinker.policy.attention import attend

LENGTH, SIZE = 7, 8
VISIBLE = torch.ones(3, 1, 1, LENGTH, dtype=torch.bool)
VISIBLE[0, ..., :4] = False
VISIBLE[2, ..., 0] = False
MASKS = {
    "none": None,
    "seen or not": VISIBLE,
    "added": torch.zeros(3, 1, 1, LENGTH).masked_fill(~VISIBLE, -1e9),
    "one for all rows": VISIBLE[:1],
    "another for every head": torch.linspace(-1, 1, 3 * 4 * LENGTH).view(3, 4, 1, LENGTH),
}


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("shared_by", [1, 2, 4])
@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize("mask", MASKS)
def test_it_gives_what_pytorch_gives(mask, scaling, shared_by, queries):
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(3, 4, queries, SIZE, generator=draw, requires_grad=True)
    key, value = (torch.randn(3, 4 // shared_by, LENGTH, SIZE, generator=draw, requires_grad=True) for _ in range(2))
    module = SimpleNamespace(num_key_value_groups=shared_by, is_causal=True)
    found, _ = attend(module, query, key, value, MASKS[mask], scaling=scaling)
    expected, _ = sdpa_attention_forward(module, query, key, value, MASKS[mask], scaling=scaling)
    assert found.shape == (3, queries, 4, SIZE)
    assert torch.allclose(found, expected, atol=1e-6)
    for ours, theirs in zip(
        torch.autograd.grad(found.sin().sum(), (query, key, value)),
        torch.autograd.grad(expected.sin().sum(), (query, key, value)),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_keys_and_values_that_heads_share_are_not_repeated():
    query, key, value = (torch.randn(1, heads, 3, SIZE, requires_grad=True) for heads in (8, 2, 2))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        attend(SimpleNamespace(num_key_value_groups=4), query, key, value, torch.ones(1, 1, 3, 3, dtype=torch.bool))
    assert kept.count(key.shape) == 2
    assert kept.count(query.shape) == 2  # queries and output; repeated keys would have their shape


def test_keys_in_bfloat16_are_read_in_place():
    """The order of the factors changes no bit."""
    query, key, value = (torch.randn(2, heads, length, SIZE).bfloat16() for heads, length in ((4, 1), (2, 9), (2, 9)))
    module = SimpleNamespace(num_key_value_groups=2, is_causal=True)
    found, _ = attend(module, query, key[:, :, :7], value[:, :, :7], None)
    shared = query.view(2, 2, 2, SIZE)
    weights = (torch.matmul(shared, key[:, :, :7].transpose(2, 3)) * SIZE**-0.5).float().softmax(dim=-1).bfloat16()
    assert torch.equal(found, torch.matmul(weights, value[:, :, :7]).view(2, 1, 4, SIZE))


def test_several_queries_are_attended_to_in_float32_under_autocast():
    draw = torch.Generator().manual_seed(0)
    states = [torch.randn(2, 4, 5, SIZE, generator=draw).bfloat16() for _ in range(3)]
    module = SimpleNamespace(num_key_value_groups=1, is_causal=True)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = attend(module, *states, None)
    expected, _ = sdpa_attention_forward(module, *(state.float() for state in states), None)
    assert torch.equal(found, expected.bfloat16())
