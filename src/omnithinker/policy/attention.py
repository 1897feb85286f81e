"""Attention on a CPU: for one query per row (decoding), for several, and for packed examples.

PyTorch's fused attention is tuned for many queries. For a single one, two matrix products that read keys and values
in place, once for all query heads that share them, are faster. Its backward pass takes twice as long in bfloat16 as in
float32, so several queries are computed in float32 even where matrix products are not. It does not repeat keys and
values that query heads share. Examples packed into one row are computed one by one: a mask over the whole row would
cost the square of its length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_unless_one_query"
"""Name registered with transformers."""


def speed_up_decoding(model: Any) -> None:
    """Switch a model on a CPU from PyTorch's attention to this one; other models stay as they are."""
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
        key: [B, key-value heads, T, size].
        value: as ``key``.
        attention_mask: None, or [B or 1, 1 or heads, Tq, T], boolean (True = attend) or additive.
        scaling: factor of the scores; ``size ** -0.5`` by default.
        others: arguments of PyTorch's attention, which takes over if one of them is set, for several queries, and
            for masks per head.

    Returns:
        [B, Tq, heads, size], and None for the weights.
    """
    bounds = others.pop("cu_seq_lens_q", None)
    if bounds is not None:
        return _attend_packed(module, query, key, value, attention_mask, bounds.tolist(), scaling=scaling, **others)
    count, heads, queries, size = query.shape
    per_head = attention_mask is not None and attention_mask.shape[1] > 1
    if queries != 1 or per_head or _has_variants(others):
        return _attend_several(module, query, key, value, attention_mask, scaling=scaling, **others), None
    # Queries that share keys and values are the rows of one product.
    shared = query.reshape(count, key.shape[1], heads // key.shape[1], size)
    scores = _products(shared, key) * (size**-0.5 if scaling is None else scaling)
    if attention_mask is not None:
        hide = attention_mask.dtype == torch.bool
        scores = scores.masked_fill(~attention_mask, -torch.inf) if hide else scores + attention_mask
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
    return torch.matmul(weights, value).reshape(count, 1, heads, -1), None


def _products(query: Tensor, key: Tensor) -> Tensor:
    """[B, heads, Tq, T] products of queries and keys, without transposing keys where that would copy them."""
    if key.dtype == torch.bfloat16:
        return torch.matmul(key, query.transpose(2, 3)).transpose(2, 3)
    return torch.matmul(query, key.transpose(2, 3))


def _has_variants(others: Mapping[str, Any]) -> bool:
    """True if attention is more than a softmax of masked scores."""
    return any(others.get(name) is not None for name in ("position_bias", "softcap", "cache"))


def _attend_several(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> Tensor:
    """PyTorch's attention of several queries, in float32."""
    with torch.autocast(query.device.type, enabled=False):
        q, k, v = (state.to(torch.promote_types(state.dtype, torch.float32)) for state in (query, key, value))
        if attention_mask is None or _has_variants(others):
            output, _ = sdpa_attention_forward(
                module, q, k, v, attention_mask, dropout=dropout, scaling=scaling, **others
            )
        else:  # transformers would repeat the keys and values that query heads share
            output = scaled_dot_product_attention(
                q, k, v, attn_mask=attention_mask, dropout_p=dropout, scale=scaling, enable_gqa=True
            ).transpose(1, 2)
    return output.to(value.dtype)


def _attend_packed(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    bounds: Sequence[int],
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention within each of the examples between ``bounds``; the mask serves those longer than a sliding window."""
    window = others.get("sliding_window")
    pieces = []
    for start, end in pairwise(bounds):
        part = slice(start, end)
        mask = None
        if attention_mask is not None and window is not None and end - start > window:
            mask = attention_mask[:, :, part, part]
        q, k, v = (x[:, :, part] for x in (query, key, value))
        pieces.append(_attend_several(module, q, k, v, mask, **others))
    return torch.cat(pieces, dim=1), None
