"""Samples of a step: minibatches, weights in the loss, micro-batches.

P prompts per step, G completions per prompt, B samples of a micro-batch, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from omnithinker.config.recipe import Recipe
from omnithinker.policy.logprobs import TokenBatch, token_batch
from omnithinker.rewards.runner import PendingGroups
from omnithinker.train.losses import group_weights
from omnithinker.types import Prompt, RolloutGroup, Trajectory

WORTH_A_PASS = 1024
"""Tokens of a micro-batch above which its fixed cost is small."""
SIMILAR = 0.8
"""Smallest length in a micro-batch as a share of the longest, unless the micro-batch is small."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A trajectory with an advantage, and its coefficients in the loss."""

    prompt: Prompt
    trajectory: Trajectory
    advantage: float
    """A of Eq. 3."""
    weight: float
    """Weight of its mean over actions in the loss of its minibatch, times the task's weight; see
    :func:`~omnithinker.train.losses.group_weights`."""
    beta: float
    """KL coefficient beta_k of its task."""
    clip: tuple[float, float] = (0.2, 0.2)
    """Lower and upper clip of its task."""
    temperature: float = 1.0
    """Temperature at which it was sampled and is scored."""
    old_logprobs: Sequence[float] | None = None
    """[T] under the policy at the start of the step; None before its first update, where it is the policy itself."""

    def to_record(self) -> dict[str, Any]:
        """Return the sample as JSON values, for people who look into a fault."""
        return {
            "task": self.prompt.task,
            "index": self.prompt.index,
            "prompt": self.prompt.text,
            "completion": self.trajectory.text,
            "token_ids": list(self.trajectory.token_ids),
            "action_mask": list(self.trajectory.action_mask),
            "logprobs": [str(x) for x in self.trajectory.logprobs],
            "advantage": self.advantage,
            "weight": self.weight,
        }


@dataclass(frozen=True, slots=True)
class GroupSamples:
    """A scored group, its advantages, and the samples that it contributes to the loss of its minibatch."""

    group: RolloutGroup
    advantages_G: Tensor
    """[G] Eq. 3; NaN where a completion is not trained on."""
    samples: Sequence[Sample]
    """Completions with an advantage."""
    total: float
    """The loss of the minibatch is divided by the sum of these."""

    @property
    def active(self) -> list[Sample]:
        """Samples with a gradient; one with advantage 0 and beta 0 counts in the total only."""
        return [sample for sample in self.samples if sample.advantage != 0 or sample.beta != 0]

    def map(self, change: Callable[[Sample], Sample]) -> GroupSamples:
        """Return the group with every sample changed."""
        return GroupSamples(self.group, self.advantages_G, [change(sample) for sample in self.samples], self.total)


def group_samples(group: RolloutGroup, advantages_G: Tensor, recipe: Recipe) -> GroupSamples:
    """Build the samples of a group, weighted for the loss.

    Undefined completions, and those of a group with fewer than two defined ones, are excluded.

    Args:
        group: a scored group.
        advantages_G: [G] its advantages.
        recipe: settings of the loss and of the group's task.
    """
    prompt, task = group.prompt, recipe.tasks[group.prompt.task]
    members = [
        (trajectory, advantage)
        for trajectory, advantage in zip(group.trajectories, advantages_G.tolist(), strict=True)
        if not math.isnan(advantage) and (recipe.training.truncated == "keep" or not trajectory.truncated)
    ]
    weight_B, total = group_weights(
        torch.tensor([trajectory.length for trajectory, _ in members]),
        loss_norm=recipe.training.loss_norm,
        max_tokens=recipe.sampling_of(prompt.task).max_new_tokens,
    )
    samples = [
        Sample(
            prompt=prompt,
            trajectory=trajectory,
            advantage=advantage,
            weight=weight * task.weight,
            beta=task.beta,
            clip=recipe.clip_of(prompt.task),
            temperature=recipe.sampling_of(prompt.task).temperature,
        )
        for (trajectory, advantage), weight in zip(members, weight_B.tolist(), strict=True)
    ]
    return GroupSamples(group, advantages_G, samples, total)


class StepSamples:
    """Samples of a step, group by group; those of a group are built once, as soon as its scores are needed.

    Args:
        pending: [P] groups of the step; scores may be outstanding.
        build: computes the advantages and samples of a scored group.
    """

    def __init__(self, pending: PendingGroups, build: Callable[[RolloutGroup], GroupSamples]) -> None:
        self._pending, self._build = pending, build
        self._built: dict[int, GroupSamples] = {}

    def __getitem__(self, p: int) -> GroupSamples:
        """Return the samples of group ``p``; block until it is scored."""
        if p not in self._built:
            self._built[p] = self._build(self._pending.group(p))
        return self._built[p]

    def groups(self) -> list[GroupSamples]:
        """[P] all groups, in the order of the prompts."""
        return [self[p] for p in range(len(self._pending))]

    def minibatches(self, count: int) -> list[Minibatch]:
        """Split the P groups into at most ``count`` consecutive minibatches; the last may be smaller."""
        return [
            Minibatch(self, self._pending.in_generation_order(members))
            for members in split_evenly(len(self._pending), count)
        ]


@dataclass(frozen=True, slots=True)
class Minibatch:
    """Groups of one optimizer update, in order of generation; iteration blocks on outstanding scores."""

    samples: StepSamples
    members: Sequence[int]

    def __iter__(self) -> Iterator[GroupSamples]:
        return map(self.samples.__getitem__, self.members)


def split_evenly(count: int, parts: int) -> list[range]:
    """Split ``count`` indices into at most ``parts`` consecutive ranges of equal size; the last may be smaller."""
    size = -(-count // parts)
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def rewards_tensor(group: RolloutGroup) -> Tensor:
    """[1, G] total rewards of a group in float64; NaN where a completion is undefined."""
    rewards = [torch.nan if score.reward is None else score.reward for score in group.scores]
    return torch.tensor([rewards], dtype=torch.float64)


def stack_advantages(groups: Sequence[GroupSamples]) -> Tensor:
    """[P, G] advantages; NaN where a completion is not trained on, and where a task samples fewer than G."""
    rows = [group.advantages_G for group in groups]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan)


def make_batch(samples: Sequence[Sample], device: torch.device, prompts: Sequence[Prompt] | None = None) -> TokenBatch:
    """Convert a micro-batch to tensors; each prompt occurs once.

    Args:
        samples: [B] the micro-batch.
        device: device of the tensors.
        prompts: prompts to include, in order; those of the samples by default.
    """
    if prompts is None:
        prompts = unique_prompts(samples)
    index = {id(prompt): p for p, prompt in enumerate(prompts)}
    rows = [(index[id(sample.prompt)], sample.trajectory) for sample in samples]
    return token_batch(prompts, rows, device, [sample.temperature for sample in samples])


def unique_prompts(samples: Sequence[Sample]) -> list[Prompt]:
    """Return the distinct prompts of some samples."""
    return list({id(sample.prompt): sample.prompt for sample in samples}.values())


def blocks(groups: Iterable[Sequence[Sample]], budget: int) -> Iterator[list[Sample]]:
    """Join the samples of consecutive groups into blocks.

    The prompts of a block have at most half of a budget of tokens, padding included, and its completions at most the
    whole, unless it is a single group. Groups may arrive one by one: a block is yielded as soon as the next begins.
    """
    block: list[Sample] = []
    count = longest = tokens = 0
    for samples in filter(None, groups):
        length, new = len(samples[0].prompt.token_ids), sum(len(sample.trajectory.token_ids) for sample in samples)
        if block and ((count + 1) * max(longest, length) > budget // 2 or tokens + new > budget):
            yield block
            block, count, longest, tokens = [], 0, 0, 0
        block += samples
        count, longest, tokens = count + 1, max(longest, length), tokens + new
    if block:
        yield block


def microbatches(groups: Iterable[Sequence[Sample]], budget: int) -> Iterator[tuple[list[Prompt], list[list[Sample]]]]:
    """Split samples into blocks of prompts, and the samples of a block into micro-batches of similar length.

    Half of the budget of tokens, padding included, is for a block's prompts, which are computed once and kept for its
    micro-batches; half for the completions of one micro-batch. Affects memory and speed, not the result: the loss is a
    sum over samples.

    Args:
        groups: samples of each prompt; may arrive one by one.
        budget: tokens.

    Yields:
        The prompts of a block, and its micro-batches.
    """
    for block in blocks(groups, budget):
        yield unique_prompts(block), list(_by_length(block, budget // 2))


def _by_length(samples: Sequence[Sample], budget: int) -> Iterator[list[Sample]]:
    """Longest first, so that a micro-batch that exceeds the memory fails early."""
    chunk: list[Sample] = []
    longest = 0
    for sample in sorted(samples, key=lambda sample: -len(sample.trajectory.token_ids)):
        length = len(sample.trajectory.token_ids)
        tokens = len(chunk) * longest
        # Once a micro-batch is large enough, much shorter samples start a new one instead of being padded.
        if chunk and (tokens + longest > budget or (tokens >= WORTH_A_PASS and length < SIMILAR * longest)):
            yield chunk
            chunk = []
        if not chunk:
            longest = length
        chunk.append(sample)
    if chunk:
        yield chunk
