"""Caches that let the completions of a prompt share its keys and values, with gradients.

A prompt's keys and values are written once, and read by the rows of its completions. Nothing is ever appended, so a
layer may be computed a second time in the backward pass (gradient checkpointing) and finds what it found before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer


def can_share(model: Any) -> bool:
    """Whether every layer is attention over keys and values, sliding windows included.

    Layers with a running state (linear attention, state-space models) continue from it in their own way.
    """
    layers = DynamicCache(config=model.config).layers
    # A configuration that names no layers gets them, all of one plain kind, at the first forward pass.
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


class Prefix(Cache):
    """Takes the keys and values of P prompts, [P, heads, Tp, size] per layer; give it to their forward pass."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=_Written)

    def rows(self, prompt_B: Tensor) -> Cache:
        """For the forward pass of B completions: each sees the keys and values of its prompt, and its own.

        Sliding windows are the attention mask's affair: everything is kept.

        Args:
            prompt_B: [B] which prompt is whose.
        """
        layers: list[Any] = self.layers
        return Cache(layers=[_Read(layer.keys, layer.values, prompt_B) for layer in layers])


class _Written(DynamicLayer):
    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        self.keys, self.values = key_states, value_states
        return key_states, value_states

    def get_seq_length(self) -> int:
        return 0


class _Read(DynamicLayer):
    def __init__(self, keys: Tensor, values: Tensor, prompt_B: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shared, self.prompt_B = (keys, values), prompt_B

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        keys, values = (
            torch.cat([shared[self.prompt_B], own], dim=-2)
            for shared, own in zip(self.shared, (key_states, value_states), strict=True)
        )
        return keys, values

    def get_seq_length(self) -> int:
        return self.shared[0].shape[-2]
