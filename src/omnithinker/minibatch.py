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


def batch_of(rows: Sequence[Row], device: torch.device) -> TokenBatch:
    """A micro-batch as tensors; each prompt is there once."""
    prompts, index = unique_prompts(rows)
    members = [(index[b], row.completion) for b, row in enumerate(rows)]
    return token_batch(prompts, members, device, [row.temperature for row in rows])


def unique_prompts(rows: Sequence[Row]) -> tuple[list[Prompt], list[int]]:
    """The distinct prompts of some rows, and for each row the index of its prompt."""
    prompts: list[Prompt] = []
    known: dict[int, int] = {}
    index = []
    for row in rows:
        if id(row.prompt) not in known:
            known[id(row.prompt)] = len(prompts)
            prompts.append(row.prompt)
        index.append(known[id(row.prompt)])
    return prompts, index


def microbatches(rows: Sequence[Row], budget: int) -> Iterator[list[Row]]:
    """Cut rows into batches of similar completion length with at most ``budget`` tokens, padding included.

    Changes memory and speed, not the result: the loss is a sum over rows.
    """
    chunk: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row.completion.token_ids)):
        longest = len(row.completion.token_ids)  # rows are sorted, so this one is the longest
        prompts, _ = unique_prompts([*chunk, row])
        cost = (len(chunk) + 1) * longest + len(prompts) * max(len(prompt.token_ids) for prompt in prompts)
        if chunk and cost > budget:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk
