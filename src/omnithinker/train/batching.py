"""From the scored groups of a step to the rows that the loss sees: minibatches, weights, micro-batches.

P prompts per step, G completions per prompt, B rows of a micro-batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omnithinker.config.recipe import Recipe
from omnithinker.policy.logprobs import TokenBatch, token_batch
from omnithinker.rewards.runner import Rollout
from omnithinker.train.advantages import group_advantages
from omnithinker.train.losses import group_weights
from omnithinker.types import Prompt, RolloutGroup, Trajectory

WORTH_A_PASS = 1024
"""Tokens of a micro-batch above which its fixed cost is small."""
SIMILAR = 0.8
"""Completions of one micro-batch are at least this share of the longest, unless they are few."""


@dataclass(frozen=True, slots=True)
class Row:
    """One completion that has an advantage, with what the loss needs to know of it."""

    prompt: Prompt
    completion: Trajectory
    advantage: float
    """A of Eq. 3."""
    weight: float
    """Of its mean over tokens in the loss of its minibatch, the task's own weight included; see :class:`Part`."""
    beta: float
    """beta_k of its task."""
    clip: tuple[float, float] = (0.2, 0.2)
    """Lower and upper clip of its task."""
    temperature: float = 1.0
    """At which it was drawn and is scored."""
    old_logprobs: Sequence[float] | None = None
    """[T] under the policy at the start of the step; None in its first update, where that is the policy itself."""


def advantages(groups: Sequence[RolloutGroup], recipe: Recipe) -> Tensor:
    """[P, G] advantages (Eq. 2-3); NaN where a completion is not trained on."""
    return group_advantages(rewards(groups), scale=recipe.training.scale_advantages)


def rewards(groups: Sequence[RolloutGroup]) -> Tensor:
    """[P, G] total rewards in float64; NaN where a completion is undefined, or where a task draws fewer than G."""
    rewards_PG = torch.full((len(groups), max(len(group.scores) for group in groups)), torch.nan, dtype=torch.float64)
    for p, group in enumerate(groups):
        for g, score in enumerate(group.scores):
            if score.reward is not None:
                rewards_PG[p, g] = score.reward
    return rewards_PG


def split(count: int, minibatches: int) -> list[list[int]]:
    """Indices of P prompts in at most ``minibatches`` consecutive parts of equal size (the last may be smaller)."""
    size = -(-count // minibatches)
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


@dataclass(frozen=True, slots=True)
class Part:
    """What one group brings to the loss of its minibatch."""

    rows: Sequence[Row]
    """Its completions that have an advantage."""
    total: float
    """The loss of the minibatch is divided by the sum of these."""

    def map(self, change: Callable[[Row], Row]) -> Part:
        """The part with every row changed."""
        return Part([change(row) for row in self.rows], self.total)


def part_of(group: RolloutGroup, advantages_G: Tensor, recipe: Recipe) -> Part:
    """The completions of a group that have an advantage, with their weight in the loss.

    Undefined completions, and those of a group with fewer than two defined ones, are not there at all.
    """
    prompt, task = group.prompt, recipe.tasks[group.prompt.task]
    members = [
        (completion, advantage)
        for completion, advantage in zip(group.trajectories, advantages_G.tolist(), strict=True)
        if not math.isnan(advantage) and (recipe.training.truncated == "keep" or not completion.truncated)
    ]
    weight_B, total = group_weights(
        torch.tensor([len(completion.token_ids) for completion, _ in members]),
        loss_norm=recipe.training.loss_norm,
        max_tokens=recipe.sampling_of(prompt.task).max_new_tokens,
    )
    rows = [
        Row(
            prompt=prompt,
            completion=completion,
            advantage=advantage,
            weight=weight * task.weight,
            beta=task.beta,
            clip=recipe.clip_of(prompt.task),
            temperature=recipe.sampling_of(prompt.task).temperature,
        )
        for (completion, advantage), weight in zip(members, weight_B.tolist(), strict=True)
    ]
    return Part(rows, total)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a minibatch, in the order in which its groups were drawn; waits for verdicts that are still out."""

    drawn: Rollout
    members: Sequence[int]
    recipe: Recipe

    def __iter__(self) -> Iterator[Part]:
        for p in self.drawn.as_drawn(self.members):
            group = self.drawn.group(p)
            yield part_of(group, advantages([group], self.recipe)[0], self.recipe)


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


def blocks(groups: Iterable[Sequence[Row]], budget: int) -> Iterator[list[Row]]:
    """Join the rows of consecutive groups to blocks.

    A block's prompts have at most half of a budget of tokens, padding included, and its completions at most the whole,
    unless it is a single group. Groups may come in one by one: a block is handed over as soon as the next begins.
    """
    block: list[Row] = []
    count = longest = tokens = 0
    for rows in filter(None, groups):
        length, new = len(rows[0].prompt.token_ids), sum(len(row.completion.token_ids) for row in rows)
        if block and ((count + 1) * max(longest, length) > budget // 2 or tokens + new > budget):
            yield block
            block, count, longest, tokens = [], 0, 0, 0
        block += rows
        count, longest, tokens = count + 1, max(longest, length), tokens + new
    if block:
        yield block


def microbatches(groups: Iterable[Sequence[Row]], budget: int) -> Iterator[tuple[list[Prompt], list[list[Row]]]]:
    """Cut rows into blocks of prompts, and the rows of a block into micro-batches of similar completion length.

    Half of the budget of tokens, padding included, is for a block's prompts, which are computed once and held while
    its micro-batches are; half for the completions of one of these. Changes memory and speed, not the result: the
    loss is a sum over rows.

    Args:
        groups: the rows of each prompt, one by one.
        budget: tokens.

    Yields:
        The prompts of a block, and its micro-batches.
    """
    for block in blocks(groups, budget):
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
