"""Decoders: the state of B rows that are decoded together, and the logits of their next tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicLayer

from omnithinker.policy.base import Policy
from omnithinker.policy.logprobs import pad_left
from omnithinker.rollout.cache import expand
from omnithinker.rollout.compiled import CompiledStep
from omnithinker.types import Prompt

COMPACT_BELOW = 0.8
"""Finished rows are dropped once the share of live rows falls below this; copying the cache more often costs more than
it saves."""
FEWEST_ROWS = 8
"""Smallest number of rows of compiled code: each number of rows is one more graph to record on a GPU."""


class Decoder(Protocol):
    """Rows that are decoded together."""

    logits_BV: Tensor
    """[B, V] logits of the next tokens."""

    def rows_for(self, live: int) -> int:
        """Return the number of rows to keep when ``live`` are unfinished: between ``live`` and the current number."""

    def keep(self, row_B: Tensor) -> None:
        """Keep some of the rows, in the given order."""

    def step(self, token_B: Tensor) -> None:
        """Append a token to every row."""


class Prefill(NamedTuple):
    """State of B rows after the forward pass over their prompts."""

    logits_BV: Tensor
    """[B, V] logits of the first tokens."""
    mask_BT: Tensor
    """[B, Tp] True at prompt tokens."""
    position_B: Tensor
    """[B] position of the first tokens."""


def prefill(
    policy: Policy, compiled: CompiledStep | None, prompts: Sequence[Prompt], prompt_B: Tensor, new_tokens: int
) -> Decoder:
    """Compute P prompts, each once, and return a decoder of the rows that begin with them.

    Args:
        policy: the policy.
        compiled: compiled decoding step; None decodes eagerly.
        prompts: [P].
        prompt_B: [B] index of each row's prompt.
        new_tokens: most tokens that will be appended.
    """
    ids_PT, mask_PT = pad_left([prompt.token_ids for prompt in prompts], policy.device)
    # Code of fixed shape needs layers of one kind: all keep everything, and masks implement sliding windows.
    cache = Cache(layer_class_to_replicate=DynamicLayer) if compiled else None
    output = policy.model(
        input_ids=ids_PT,
        attention_mask=mask_PT.long(),
        position_ids=(mask_PT.cumsum(dim=1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    first = Prefill(output.logits[prompt_B, -1], mask_PT[prompt_B], mask_PT.sum(dim=1)[prompt_B])
    if compiled:
        return CompiledDecoder(compiled, output.past_key_values, prompt_B, first, new_tokens)
    return EagerDecoder(policy.model, output.past_key_values, prompt_B, first)


class EagerDecoder:
    """Decoder that calls the model as it is; its buffers grow."""

    def __init__(self, model: Any, cache: Any, prompt_B: Tensor, first: Prefill) -> None:
        self.model, self.cache = model, cache
        self.logits_BV, self.mask_BT, self.position_B = first
        expand(cache, prompt_B)

    def rows_for(self, live: int) -> int:
        """Return the number of rows to keep; see :class:`Decoder`."""
        rows = len(self.position_B)
        return live if live < COMPACT_BELOW * rows else rows

    def keep(self, row_B: Tensor) -> None:
        """Keep some of the rows, in the given order."""
        self.cache.reorder_cache(row_B)
        self.mask_BT, self.position_B = self.mask_BT[row_B], self.position_B[row_B]

    def step(self, token_B: Tensor) -> None:
        """Append a token to every row."""
        self.mask_BT = torch.cat([self.mask_BT, torch.ones_like(self.mask_BT[:, :1])], dim=1)
        output = self.model(
            input_ids=token_B[:, None],
            attention_mask=self.mask_BT.long(),
            position_ids=self.position_B[:, None],
            past_key_values=self.cache,
            use_cache=True,
        )
        self.logits_BV, self.position_B = output.logits[:, -1], self.position_B + 1


class CompiledDecoder:
    """Decoder whose step is one compiled function.

    The number of rows is a power of two after the first reduction; finished rows fill it up.
    """

    def __init__(self, compiled: CompiledStep, cache: Cache, prompt_B: Tensor, first: Prefill, new_tokens: int) -> None:
        self.compiled, self.cache = compiled, cache
        self.logits_BV, self.mask_BL, self.position_B = first
        self.used = self.mask_BL.shape[1]
        self.capacity = self.used + new_tokens
        self._hold(prompt_B)

    def _hold(self, row_B: Tensor) -> None:
        layers: list[Any] = self.cache.layers
        states = [state for layer in layers for state in (layer.keys, layer.values)]
        self.cache = self.compiled.hold(states, row_B, self.used, self.capacity)
        length = self.cache.get_max_length()
        self.mask_BL = pad(self.mask_BL, (0, length - self.mask_BL.shape[1]), value=True)

    def rows_for(self, live: int) -> int:
        """Return the number of rows to keep; see :class:`Decoder`."""
        return min(max(FEWEST_ROWS, 1 << (live - 1).bit_length()), len(self.position_B))

    def keep(self, row_B: Tensor) -> None:
        """Keep some of the rows, in the given order."""
        self.mask_BL, self.position_B = self.mask_BL[row_B], self.position_B[row_B]
        self._hold(row_B)

    def step(self, token_B: Tensor) -> None:
        """Append a token to every row."""
        if self.used == self.mask_BL.shape[1]:
            self._hold(torch.arange(len(token_B), device=token_B.device))
        self.logits_BV = self.compiled(token_B, self.mask_BL, self.position_B, self.cache)
        self.used, self.position_B = self.used + 1, self.position_B + 1
