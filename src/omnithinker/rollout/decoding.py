"""Decoding of B rows: what is kept of their past, and the logits of their next tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicLayer

from omnithinker.policy.base import Policy
from omnithinker.policy.compiled import CompiledStep
from omnithinker.policy.logprobs import pad_left
from omnithinker.rollout.cache import expand
from omnithinker.types import Prompt

COMPACT_BELOW = 0.8
"""Finished rows are dropped once the live share falls below this; copying the cache more often does not pay."""
FEWEST_ROWS = 8
"""Compiled code goes on with at least so many: each number of rows is one more graph to record on a GPU."""


class Decoding(Protocol):
    """Rows that are being decoded together."""

    logits_BV: Tensor
    """[B, V] of the next tokens."""

    def rows_for(self, live: int) -> int:
        """With how many rows to go on when some have finished: at least those that live, at most the present ones."""

    def keep(self, row_B: Tensor) -> None:
        """Go on with some of the rows, in a given order."""

    def step(self, token_B: Tensor) -> None:
        """Append a token to every row."""


def start(policy: Policy, prompts: Sequence[Prompt], prompt_B: Tensor, new_tokens: int) -> Decoding:
    """Compute P prompts, each once, for rows that begin with them.

    Args:
        policy: the model, and whether its steps are compiled.
        prompts: [P].
        prompt_B: [B] which prompt is whose.
        new_tokens: most that will be appended.
    """
    ids_PT, mask_PT = pad_left([prompt.token_ids for prompt in prompts], policy.device)
    # Code of fixed shape needs layers of one kind: all keep everything, and masks tell what a sliding window hides.
    cache = Cache(layer_class_to_replicate=DynamicLayer) if policy.compiled else None
    prefix = policy.model(
        input_ids=ids_PT,
        attention_mask=mask_PT.long(),
        position_ids=(mask_PT.cumsum(dim=1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    begun = prefix.logits[prompt_B, -1], mask_PT[prompt_B], mask_PT.sum(dim=1)[prompt_B]
    if policy.compiled:
        return _Compiled(policy.compiled, prefix.past_key_values, prompt_B, begun, new_tokens)
    return _Eager(policy.model, prefix.past_key_values, prompt_B, begun)


class _Eager:
    """Every operation is its own call; buffers grow."""

    def __init__(self, model: Any, cache: Any, prompt_B: Tensor, begun: tuple[Tensor, Tensor, Tensor]) -> None:
        self.model, self.cache = model, cache
        self.logits_BV, self.mask_BT, self.position_B = begun
        expand(cache, prompt_B)

    def rows_for(self, live: int) -> int:
        rows = len(self.position_B)
        return live if live < COMPACT_BELOW * rows else rows

    def keep(self, row_B: Tensor) -> None:
        self.cache.reorder_cache(row_B)
        self.mask_BT, self.position_B = self.mask_BT[row_B], self.position_B[row_B]

    def step(self, token_B: Tensor) -> None:
        self.mask_BT = torch.cat([self.mask_BT, torch.ones_like(self.mask_BT[:, :1])], dim=1)
        output = self.model(
            input_ids=token_B[:, None],
            attention_mask=self.mask_BT.long(),
            position_ids=self.position_B[:, None],
            past_key_values=self.cache,
            use_cache=True,
        )
        self.logits_BV, self.position_B = output.logits[:, -1], self.position_B + 1


class _Compiled:
    """A step is one compiled function. Numbers of rows are powers of two, but for the first: finished ones fill up."""

    def __init__(
        self,
        compiled: CompiledStep,
        cache: Cache,
        prompt_B: Tensor,
        begun: tuple[Tensor, Tensor, Tensor],
        new_tokens: int,
    ) -> None:
        self.compiled, self.cache = compiled, cache
        self.logits_BV, self.mask_BL, self.position_B = begun
        self.used = self.mask_BL.shape[1]
        self.room = self.used + new_tokens
        self._hold(prompt_B)

    def _hold(self, row_B: Tensor) -> None:
        layers: list[Any] = self.cache.layers
        states = [state for layer in layers for state in (layer.keys, layer.values)]
        self.cache = self.compiled.hold(states, row_B, self.used, self.room)
        length = self.cache.get_max_length()
        self.mask_BL = pad(self.mask_BL, (0, length - self.mask_BL.shape[1]), value=True)

    def rows_for(self, live: int) -> int:
        return min(max(FEWEST_ROWS, 1 << (live - 1).bit_length()), len(self.position_B))

    def keep(self, row_B: Tensor) -> None:
        self.mask_BL, self.position_B = self.mask_BL[row_B], self.position_B[row_B]
        self._hold(row_B)

    def step(self, token_B: Tensor) -> None:
        if self.used == self.mask_BL.shape[1]:
            self._hold(torch.arange(len(token_B), device=token_B.device))
        self.logits_BV = self.compiled(token_B, self.mask_BL, self.position_B, self.cache)
        self.used, self.position_B = self.used + 1, self.position_B + 1
