"""The loss of supervised fine-tuning and its gradient, over packed micro-batches.

The loss of a batch is the mean over all its completion tokens of the negative log-probability: its denominator is the
number of completion tokens of the whole batch, however the batch is packed. Tokens of prompts carry no loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from omnithinker.config.warmup import WarmupSettings
from omnithinker.policy.base import Policy
from omnithinker.policy.packed import pack, packed_logprobs
from omnithinker.policy.shared_prompt import can_share
from omnithinker.train.sft.demonstrations import Example


class TaskLoss(NamedTuple):
    """Negative log-likelihood of some examples."""

    total: float = 0.0
    """Sum over completion tokens (nats)."""
    tokens: int = 0
    """Number of completion tokens."""
    examples: int = 0
    """Number of examples."""

    @property
    def mean(self) -> float:
        """Mean over completion tokens."""
        return self.total / self.tokens

    def plus(self, other: TaskLoss) -> TaskLoss:
        """Join two sets of examples."""
        return TaskLoss(self.total + other.total, self.tokens + other.tokens, self.examples + other.examples)


def microbatches(examples: Sequence[Example], budget: int, *, packs: bool = True) -> list[list[Example]]:
    """Split a batch into micro-batches of at most ``budget`` tokens each: first fit, longest first.

    An example longer than that is a micro-batch of its own.

    Args:
        examples: the batch.
        budget: tokens.
        packs: False to put every example into a micro-batch of its own.
    """
    bins: list[list[Example]] = []
    free: list[int] = []
    for example in sorted(examples, key=lambda example: -example.size):
        place = next((i for i, room in enumerate(free) if packs and room >= example.size), None)
        if place is None:
            bins.append([])
            free.append(budget)
            place = len(bins) - 1
        bins[place].append(example)
        free[place] -= example.size
    return bins


def negative_log_likelihoods(policy: Policy, examples: Sequence[Example]) -> torch.Tensor:
    """[examples] sum over the completion tokens of each example of the negative log-probability, differentiable."""
    batch = pack([(example.prompt_ids, example.completion_ids) for example in examples], policy.device)
    per_example = packed_logprobs(policy, batch).split(batch.lengths)
    return -torch.stack([logprobs.sum() for logprobs in per_example])


def compute_gradient(policy: Policy, examples: Sequence[Example], budget: int) -> dict[str, TaskLoss]:
    """Set the gradient of every trained weight to that of the loss of a batch.

    Args:
        policy: the policy.
        examples: the batch.
        budget: tokens of a micro-batch.

    Returns:
        The loss per task; their union is the loss of the batch.
    """
    for parameter in policy.trained:
        parameter.grad = None
    total = sum(len(example.completion_ids) for example in examples)
    losses: dict[str, TaskLoss] = {}
    with policy.converts_weights_once():
        for members in microbatches(examples, budget, packs=can_share(policy.model)):
            loss_E = negative_log_likelihoods(policy, members)
            (loss_E.sum() / total).backward()
            _add(losses, members, loss_E)
    return losses


@torch.no_grad()
def measure_loss(policy: Policy, examples: Sequence[Example], budget: int) -> dict[str, TaskLoss]:
    """Compute the loss of some examples per task, without gradient; arguments as :func:`compute_gradient`."""
    losses: dict[str, TaskLoss] = {}
    for members in microbatches(examples, budget, packs=can_share(policy.model)):
        _add(losses, members, negative_log_likelihoods(policy, members))
    return losses


def _add(losses: dict[str, TaskLoss], examples: Sequence[Example], loss_E: torch.Tensor) -> None:
    for example, loss in zip(examples, loss_E.tolist(), strict=True):
        one = TaskLoss(loss, len(example.completion_ids), 1)
        losses[example.task] = losses.get(example.task, TaskLoss()).plus(one)


def union(losses: dict[str, TaskLoss]) -> TaskLoss:
    """Join the losses of all tasks."""
    joined = TaskLoss()
    for loss in losses.values():
        joined = joined.plus(loss)
    return joined


def learning_rate_at(update: int, updates: int, settings: WarmupSettings) -> float:
    """Return the learning rate of an update: linear warm-up, then cosine to zero or constant.

    Args:
        update: the update, counted from 0.
        updates: updates of the whole run.
        settings: peak, schedule and warm-up.
    """
    rising = math.ceil(settings.warmup_ratio * updates)
    if update < rising:
        return settings.learning_rate * (update + 1) / rising
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (update - rising) / (updates - rising)))
