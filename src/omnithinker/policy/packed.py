"""Packed examples: several in one row without padding, each attending to itself only.

T tokens of all examples, N completion tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omnithinker.policy.base import Policy
from omnithinker.policy.head import score_tokens
from omnithinker.policy.logprobs import hidden_states


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Prompts with one completion each, end to end."""

    ids_T: Tensor
    """[T] tokens."""
    position_T: Tensor
    """[T] position of each token in its example, from 0."""
    bounds: Tensor
    """[examples + 1] first token of each example, and T; int32, as variable-length attention takes it."""
    longest: int
    """Tokens of the longest example."""
    predicted_N: Tensor
    """[N] places of the completion tokens; the token before each predicts it."""
    lengths: tuple[int, ...]
    """Completion tokens of each example; their sum is N."""


def pack(examples: Sequence[tuple[Sequence[int], Sequence[int]]], device: torch.device) -> PackedBatch:
    """Pack examples of (prompt tokens, completion tokens), neither of them empty."""
    sizes = [len(prompt) + len(completion) for prompt, completion in examples]
    starts = torch.tensor([0, *sizes]).cumsum(0).tolist()
    places = [
        torch.arange(start + len(prompt), start + size)
        for start, size, (prompt, _) in zip(starts, sizes, examples, strict=False)
    ]
    return PackedBatch(
        ids_T=torch.tensor([token for pair in examples for part in pair for token in part]).to(device),
        position_T=torch.cat([torch.arange(size) for size in sizes]).to(device),
        bounds=torch.tensor(starts, dtype=torch.int32, device=device),
        longest=max(sizes),
        predicted_N=torch.cat(places).to(device),
        lengths=tuple(len(completion) for _, completion in examples),
    )


def packed_logprobs(policy: Policy, batch: PackedBatch) -> Tensor:
    """[N] log-probability of every completion token at temperature 1, differentiable.

    Positions that begin anew tell transformers where an example begins; its mask then separates them. The bounds are
    for attention that needs no mask: flash attention on a GPU, and :mod:`omnithinker.policy.attention` on a CPU.
    """
    several = len(batch.lengths) > 1
    with policy.autocast():
        hidden_1TH = hidden_states(
            policy.model,
            input_ids=batch.ids_T[None],
            position_ids=batch.position_T[None],
            use_cache=False,
            **(_bounds(batch) if several else {}),
        )
        hidden_NH = hidden_1TH[0].index_select(0, batch.predicted_N - 1)
        temperature_N = torch.ones(len(hidden_NH), device=hidden_NH.device)
        return score_tokens(hidden_NH, batch.ids_T[batch.predicted_N], policy.model, temperature_N)


def _bounds(batch: PackedBatch) -> dict[str, Tensor | int]:
    """Arguments of variable-length attention in transformers."""
    return {
        "cu_seq_lens_q": batch.bounds,
        "cu_seq_lens_k": batch.bounds,
        "max_length_q": batch.longest,
        "max_length_k": batch.longest,
    }
