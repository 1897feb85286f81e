"""Keys and values of rows that are being decoded, in buffers with spare room.

A cache that concatenates copies everything at every token; here a token is written into its place.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64
"""Tokens of spare room; a full buffer is copied into one with so much more."""


def expand(cache: Cache, row_B: Tensor) -> None:
    """Give each of B rows a copy of its prompt's keys and values, and plain attention layers room to grow.

    Layers of other kinds (sliding windows, running states) stay what they are.

    Args:
        cache: of a forward pass over P prompts.
        row_B: [B] which prompt is whose.
    """
    layers: list[Any] = cache.layers
    for number, layer in enumerate(layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            layers[number] = _Growing(layer.keys, layer.values, row_B)
        else:
            layer.reorder_cache(row_B)


class _Growing(DynamicLayer):
    def __init__(self, keys: Tensor, values: Tensor, row_B: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.length = keys.shape[-2]
        self.buffers = [_roomier(tensor, row_B) for tensor in (keys, values)]
        self._view()

    def _view(self) -> list[Tensor]:
        views = [buffer[..., : self.length, :] for buffer in self.buffers]
        self.keys, self.values = views
        return views

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        start, self.length = self.length, self.length + key_states.shape[-2]
        if self.length > self.buffers[0].shape[-2]:
            self.buffers = [_roomier(buffer) for buffer in self.buffers]
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[..., start : self.length, :] = new
        keys, values = self._view()
        return keys, values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.buffers = [_roomier(view, beam_idx) for view in self._view()]
        self._view()


def _roomier(tensor: Tensor, rows: Tensor | None = None) -> Tensor:
    """[B, heads, T + ROOM, size] a copy of [P, heads, T, size], or of some of its rows, with room behind it."""
    count, heads, length, size = tensor.shape
    count = count if rows is None else len(rows)
    buffer = tensor.new_empty(count, heads, length + ROOM, size)
    buffer[..., :length, :] = tensor if rows is None else tensor.index_select(0, rows)
    return buffer
