"""Attention of one query per row, as decoding on a CPU has it.

PyTorch's fused attention is made for many queries. For a single one, two plain products over keys and values as they
lie, each read once for all queries that share it, are faster.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_unless_one_query"
"""Under which transformers knows it."""


def speed_up_decoding(model: Any) -> None:
    """Let a model on a CPU that uses PyTorch's attention use this one; other models stay what they are."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, attend)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention in the signature of transformers.

    Args:
        module: the layer.
        query: [B, heads, Tq, size].
        key: [B, heads that may be shared, T, size].
        value: as ``key``.
        attention_mask: None, or [B or 1, 1 or heads, Tq, T], True at what may be seen or a number to be added.
        scaling: of the scores; by default one over the square root of ``size``.
        others: what only PyTorch's way knows; it is used where one of them is given, for several queries, and where
            heads see different things.

    Returns:
        [B, Tq, heads, size], and None for the weights.
    """
    count, heads, queries, size = query.shape
    per_head = attention_mask is not None and attention_mask.shape[1] > 1
    if queries != 1 or per_head or any(others.get(name) is not None for name in ("position_bias", "softcap", "cache")):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
    # Queries that share keys and values are the rows of one product.
    shared = query.reshape(count, key.shape[1], heads // key.shape[1], size)
    scores = torch.matmul(shared, key.transpose(2, 3)) * (size**-0.5 if scaling is None else scaling)
    if attention_mask is not None:
        hide = attention_mask.dtype == torch.bool
        scores = scores.masked_fill(~attention_mask, -torch.inf) if hide else scores + attention_mask
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype)
    return torch.matmul(weights, value).reshape(count, 1, heads, -1), None
