"""Caches that let the completions of a prompt share its keys and values, with gradients.

A prompt's keys and values are written once and read by the rows of its completions. Nothing is appended, so a layer
that is recomputed in the backward pass (gradient checkpointing) reads the same values again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer


def can_share(model: Any) -> bool:
    """True if every layer is attention over keys and values, sliding windows included.

    Layers with a running state (linear attention, state-space models) cannot share.
    """
    layers = DynamicCache(config=model.config).layers
    # A configuration that names no layers gets them, all of one plain kind, at the first forward pass.
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


class SharedPrefix:
    """P prompts computed once, for their completions in one or several micro-batches.

    If ``detached``, the backward pass of completions stops at the prompts' states and accumulates gradients there;
    :meth:`backward` propagates them to the weights, once, after the backward passes of all micro-batches.
    """

    def __init__(self, forward: Callable[[Cache], Tensor], *, detached: bool = False) -> None:
        """Compute the prompts.

        Args:
            forward: forward pass of the decoder over the prompts: takes the cache, returns hidden states [P, Tp, H].
            detached: see above.
        """
        cache = Cache(layer_class_to_replicate=_PrefixWriter)
        last_PH = forward(cache)[:, -1]
        layers: list[Any] = cache.layers
        self._computed: list[Tensor] = [last_PH, *(tensor for layer in layers for tensor in (layer.keys, layer.values))]
        self._states = (
            [x.detach().requires_grad_(x.requires_grad) for x in self._computed] if detached else self._computed
        )

    @property
    def last_PH(self) -> Tensor:
        """[P, H] hidden state of each prompt's last token."""
        return self._states[0]

    def cache_for(self, prompt_B: Tensor) -> Cache:
        """Return a cache for the forward pass of B completions: each reads the keys and values of its prompt.

        Sliding windows are left to the attention mask: all keys and values are kept.

        Args:
            prompt_B: [B] index of each completion's prompt.
        """
        pairs = zip(self._states[1::2], self._states[2::2], strict=True)
        return Cache(layers=[_PrefixReader(keys, values, prompt_B) for keys, values in pairs])

    def backward(self) -> None:
        """Propagate the gradients accumulated at the prompts' states to the weights."""
        reached = [
            (x, state.grad) for x, state in zip(self._computed, self._states, strict=True) if state.grad is not None
        ]
        if reached:
            torch.autograd.backward([x for x, _ in reached], [gradient for _, gradient in reached])


class _PrefixWriter(DynamicLayer):
    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        self.keys, self.values = key_states, value_states
        return key_states, value_states

    def get_seq_length(self) -> int:
        return 0


class _PrefixReader(DynamicLayer):
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
