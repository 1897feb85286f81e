"""From the scored groups of a step to the rows that the loss sees: minibatches, weights, micro-batches.

P prompts per step, G completions per prompt, B rows of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omnithinker.logprobs import TokenBatch, token_batch
from omnithinker.losses import row_weights
from omnithinker.recipe import Recipe
from omnithinker.types import Completion, Prompt, RolloutGroup

WORTH_A_PASS = 1024
"""Tokens of a micro-batch above which its fixed cost is small."""
SIMILAR = 0.8
"""Completions of one micro-batch are at least this share of the longest, unless they are few."""


@dataclass(frozen=True, slots=True)
class Row:
    """One completion that has an advantage, with what the loss needs to know of it."""

    prompt: Prompt
    completion: Completion
    advantage: float
    """A of Eq. 3."""
    weight: float
    """Of its mean over tokens in the loss of its minibatch, the task's own weight included."""
    beta: float
    """beta_k of its task."""
    clip: tuple[float, float] = (0.2, 0.2)
    """Lower and upper clip of its task."""
    temperature: float = 1.0
    """At which it was drawn and is scored."""
    old_logprobs: Sequence[float] | None = None
    """[T] under the policy at the start of the step; None in its first update, where that is the policy itself."""


def split(count: int, minibatches: int) -> list[list[int]]:
    """Indices of P prompts in at most ``minibatches`` consecutive parts of equal size (the last may be smaller)."""
    size = -(-count // minibatches)
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def weighted_rows(groups: Sequence[RolloutGroup], advantages_PG: Tensor, recipe: Recipe) -> list[Row]:
    """The completions of a minibatch that have an advantage, with their weight in the loss.

    Undefined completions, and groups with fewer than two defined ones, are not there at all.
    """
    training = recipe.training
    members = [
        (p, g)
        for p in range(len(groups))
        for g in range(len(groups[p].completions))
        if not torch.isnan(advantages_PG[p, g])
        and (training.truncated == "keep" or not groups[p].completions[g].truncated)
    ]
    if not members:
        return []
    weights = row_weights(
        torch.tensor([p for p, _ in members]),
        torch.tensor([len(groups[p].completions[g].token_ids) for p, g in members]),
        aggregation=training.aggregation,
        max_tokens_B=torch.tensor([recipe.sampling_of(groups[p].prompt.task).max_new_tokens for p, _ in members]),
    ).tolist()
    return [
        Row(
            prompt=groups[p].prompt,
            completion=groups[p].completions[g],
            advantage=float(advantages_PG[p, g]),
            weight=weight * recipe.tasks[groups[p].prompt.task].weight,
            beta=recipe.tasks[groups[p].prompt.task].beta,
            clip=recipe.clip_of(groups[p].prompt.task),
            temperature=recipe.sampling_of(groups[p].prompt.task).temperature,
        )
        for (p, g), weight in zip(members, weights, strict=True)
    ]


def batch_of(rows: Sequence[Row], device: torch.device, prompts: Sequence[Prompt] | None = None) -> TokenBatch:
    """A micro-batch as tensors; each prompt is there once.

    Args:
        rows: the micro-batch.
        device: where the tensors go.
        prompts: all prompts to be in it, in order; by default those of the rows.
    """
    if prompts is None:
        prompts = unique_prompts(rows)
    index = {id(prompt): p for p, prompt in enumerate(prompts)}
    members = [(index[id(row.prompt)], row.completion) for row in rows]
    return token_batch(prompts, members, device, [row.temperature for row in rows])


def unique_prompts(rows: Sequence[Row]) -> list[Prompt]:
    """The distinct prompts of some rows."""
    return list({id(row.prompt): row.prompt for row in rows}.values())


def blocks(rows: Sequence[Row], budget: int) -> Iterator[list[Row]]:
    """Cut rows into blocks, each all rows of as many prompts as have at most ``budget`` tokens, padding included."""
    by_prompt: dict[int, list[Row]] = {}
    for row in rows:
        by_prompt.setdefault(id(row.prompt), []).append(row)
    block: list[Row] = []
    count = longest = 0
    for members in by_prompt.values():
        length = len(members[0].prompt.token_ids)
        if block and (count + 1) * max(longest, length) > budget:
            yield block
            block, count, longest = [], 0, 0
        block += members
        count, longest = count + 1, max(longest, length)
    if block:
        yield block


def microbatches(rows: Sequence[Row], budget: int) -> Iterator[tuple[list[Prompt], list[list[Row]]]]:
    """Cut rows into blocks of prompts, and the rows of a block into micro-batches of similar completion length.

    Half of the budget of tokens, padding included, is for a block's prompts, which are computed once and held while
    its micro-batches are; half for the completions of one of these. Changes memory and speed, not the result: the
    loss is a sum over rows.

    Yields:
        The prompts of a block, and its micro-batches.
    """
    for block in blocks(rows, budget // 2):
        yield unique_prompts(block), list(_by_length(block, budget // 2))


def _by_length(rows: Sequence[Row], budget: int) -> Iterator[list[Row]]:
    """Longest first, so that what does not fit in memory fails early."""
    chunk: list[Row] = []
    longest = 0
    for row in sorted(rows, key=lambda row: -len(row.completion.token_ids)):
        length = len(row.completion.token_ids)
        tokens = len(chunk) * longest
        # Short rows wait for a micro-batch of their own rather than be padded, once this one is worth a pass.
        if chunk and (tokens + longest > budget or (tokens >= WORTH_A_PASS and length < SIMILAR * longest)):
            yield chunk
            chunk = []
        if not chunk:
            longest = length
        chunk.append(row)
    if chunk:
        yield chunk
