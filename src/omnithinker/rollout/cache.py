"""Key-value cache for decoding, in buffers with spare capacity.

A cache that concatenates copies everything at every token; this one writes each token in place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

SPARE_TOKENS = 64
"""Spare capacity of a buffer; a full one is copied into one with this many tokens more."""


def expand(cache: Cache, row_B: Tensor) -> None:
    """Copy each prompt's keys and values to its rows, and give plain attention layers spare capacity.

    Layers of other kinds (sliding windows, running states) keep their type.

    Args:
        cache: cache of a forward pass over P prompts.
        row_B: [B] index of each row's prompt.
    """
    layers: list[Any] = cache.layers
    for number, layer in enumerate(layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            layers[number] = _GrowingLayer(layer.keys, layer.values, row_B)
        else:
            layer.reorder_cache(row_B)


class _GrowingLayer(DynamicLayer):
    def __init__(self, keys: Tensor, values: Tensor, row_B: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.length = keys.shape[-2]
        self.buffers = [_with_capacity(_as_used(tensor), row_B) for tensor in (keys, values)]
        self._view()

    def _view(self) -> list[Tensor]:
        views = [buffer[..., : self.length, :] for buffer in self.buffers]
        self.keys, self.values = views
        return views

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        start, self.length = self.length, self.length + key_states.shape[-2]
        if self.length > self.buffers[0].shape[-2]:
            self.buffers = [_with_capacity(buffer) for buffer in self.buffers]
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[..., start : self.length, :] = new
        keys, values = self._view()
        return keys, values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.buffers = [_with_capacity(view, beam_idx) for view in self._view()]
        self._view()


def _as_used(tensor: Tensor) -> Tensor:
    """Convert to the format that autocast would convert to at every token."""
    kind = tensor.device.type
    return tensor.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else tensor


def _with_capacity(tensor: Tensor, rows: Tensor | None = None) -> Tensor:
    """[B, heads, T + SPARE_TOKENS, size] copy of [P, heads, T, size], or of some of its rows, with spare capacity."""
    count, heads, length, size = tensor.shape
    count = count if rows is None else len(rows)
    buffer = tensor.new_empty(count, heads, length + SPARE_TOKENS, size)
    buffer[..., :length, :] = tensor if rows is None else tensor.index_select(0, rows)
    return buffer
