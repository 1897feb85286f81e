"""Caches that let the completions of a prompt share its keys and values, with gradients.

A prompt's keys and values are written once, and read by the rows of its completions. Nothing is ever appended, so a
layer may be computed a second time in the backward pass (gradient checkpointing) and finds what it found before.
"""

from __future__ import annotations

from collections.abc import Callable
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


class Prompts:
    """P prompts computed once, for their completions in one or several micro-batches.

    With ``detached``, completions do not reach back into the prompts: gradients gather at the prompts' states, and
    :meth:`backward` carries them on, once, when all micro-batches have made their backward pass.
    """

    def __init__(self, forward: Callable[[Cache], Tensor], *, detached: bool = False) -> None:
        """Compute the prompts.

        Args:
            forward: the decoder's pass over the prompts: takes the cache to use, returns hidden states [P, Tp, H].
            detached: see above.
        """
        prefix = Cache(layer_class_to_replicate=_Written)
        last_PH = forward(prefix)[:, -1]
        layers: list[Any] = prefix.layers
        self._computed: list[Tensor] = [last_PH, *(tensor for layer in layers for tensor in (layer.keys, layer.values))]
        self._states = (
            [x.detach().requires_grad_(x.requires_grad) for x in self._computed] if detached else self._computed
        )

    @property
    def last_PH(self) -> Tensor:
        """[P, H] hidden state of each prompt's last token."""
        return self._states[0]

    def rows(self, prompt_B: Tensor) -> Cache:
        """For the forward pass of B completions: each sees the keys and values of its prompt, and its own.

        Sliding windows are the attention mask's affair: everything is kept.

        Args:
            prompt_B: [B] which prompt is whose.
        """
        pairs = zip(self._states[1::2], self._states[2::2], strict=True)
        return Cache(layers=[_Read(keys, values, prompt_B) for keys, values in pairs])

    def backward(self) -> None:
        """Carry the gradients that completions left at the states on to the weights."""
        reached = [
            (x, state.grad) for x, state in zip(self._computed, self._states, strict=True) if state.grad is not None
        ]
        if reached:
            torch.autograd.backward([x for x, _ in reached], [gradient for _, gradient in reached])


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
            torch.cat([shared.index_select(0, self.prompt_B), own], dim=-2)
            for shared, own in zip(self.shared, (key_states, value_states), strict=True)
        )
        return keys, values

    def get_seq_length(self) -> int:
        return self.shared[0].shape[-2]
