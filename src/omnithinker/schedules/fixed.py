"""Schedules (section 2.3 of the paper): which prompts form which step.

Joint training, curricula and mixtures are lists of batches, known before the run starts and a pure function of
(data sizes, settings, seed); :class:`FixedSchedule` makes a schedule of a list. A schedule may also decide as the run
goes, see :mod:`omnithinker.schedules.adaptive`. In all but joint training the prompts of a task come in
the same order, so that runs differ in nothing but what their schedules decide.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from omnithinker.errors import BadInput
from omnithinker.io.step_metrics import StepMetrics


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt of a batch."""

    task: str
    """Name of the task."""
    index: int
    """Row of the task's training data, from 0."""
    epoch: int
    """Pass over the data, from 0."""


Batch = tuple[Item, ...]
"""The P prompts of one step (fewer in the last step of an epoch)."""

State = Mapping[str, Any]
"""What a schedule remembers from step to step, as JSON values; empty where nothing is to be remembered."""


class Schedule(Protocol):
    """Decides, step by step, which prompts are trained on.

    A schedule remembers nothing itself. Its state is a value that the run hands in and stores in every checkpoint, so
    that a run that was stopped goes on as if it had not been.
    """

    def __len__(self) -> int:
        """Steps of the whole run."""
        ...

    def start(self) -> State:
        """The state before the first step."""
        ...

    def batch(self, step: int, state: State) -> Batch:
        """The prompts of a step, counted from 0."""
        ...

    def after(self, step: int, state: State, metrics: StepMetrics) -> State:
        """The state after a step.

        Args:
            step: the step, counted from 0.
            state: the state that its batch was asked for with.
            metrics: the metrics of the step.
        """
        ...


@dataclass(frozen=True, slots=True)
class FixedSchedule:
    """A list of batches as a schedule; its state is empty."""

    batches: Sequence[Batch]
    """All steps."""

    def __len__(self) -> int:
        """Steps of the whole run."""
        return len(self.batches)

    def start(self) -> State:
        """Nothing."""
        return {}

    def batch(self, step: int, state: State) -> Batch:
        """The step's entry of the list."""
        return self.batches[step]

    def after(self, step: int, state: State, metrics: StepMetrics) -> State:
        """Nothing."""
        return state


def joint_schedule(sizes: Mapping[str, int], *, prompts_per_step: int, epochs: int, seed: int) -> list[Batch]:
    """Joint training: each batch is uniform, without replacement, over the union of all tasks.

    Args:
        sizes: prompts per task.
        prompts_per_step: P.
        epochs: passes over the union.
        seed: fixes the order.
    """
    batches: list[Batch] = []
    for epoch in range(epochs):
        items = [Item(task, index, epoch) for task, size in sizes.items() for index in range(size)]
        random.Random(f"joint {seed} {epoch}").shuffle(items)
        batches += _cut(items, prompts_per_step)
    return batches


def curriculum_schedule(
    sizes: Mapping[str, int], order: Sequence[str], *, prompts_per_step: int, epochs: int, seed: int
) -> list[Batch]:
    """Curriculum: pure batches, one task until exhausted (all its epochs), then the next in ``order``.

    With one task in ``order`` this is single-task training; the batches of a task are the same in every order, so
    that curricula differ in nothing but the order.

    Args:
        sizes: prompts per task.
        order: tasks to train, first to last.
        prompts_per_step: P.
        epochs: passes over each task.
        seed: fixes the order within a task.

    Raises:
        BadInput: a task of ``order`` has no data.
    """
    batches: list[Batch] = []
    for task in order:
        if task not in sizes:
            raise BadInput(f"no task {task!r}; known: {', '.join(sizes)}")
        for epoch in range(epochs):
            items = [Item(task, index, epoch) for index in task_order(task, sizes[task], seed, epoch)]
            batches += _cut(items, prompts_per_step)
    return batches


def mixture_schedule(
    sizes: Mapping[str, int], shares: Mapping[str, float], *, prompts_per_step: int, epochs: int, seed: int
) -> list[Batch]:
    """Mixture: every batch holds each task's share of prompts, as exactly as whole prompts allow.

    The run draws as many prompts as joint training does. A task with a large share comes round to its prompts again,
    one with a small share does not reach its last; each goes through all its prompts before any comes again.

    Args:
        sizes: prompts per task.
        shares: per task, a positive number; only their ratios count.
        prompts_per_step: P.
        epochs: the run has epochs x (sum of sizes) prompts.
        seed: fixes the order within tasks and batches.
    """
    batches: list[Batch] = []
    drawn = dict.fromkeys(sizes, 0)
    credit = dict.fromkeys(sizes, 0.0)
    for step, size in enumerate(step_sizes(sizes, prompts_per_step=prompts_per_step, epochs=epochs)):
        counts, credit = apportion(size, shares, credit)
        batches.append(take(counts, drawn, sizes, seed=seed, step=step))
        drawn = {task: drawn[task] + counts[task] for task in sizes}
    return batches


def step_sizes(sizes: Mapping[str, int], *, prompts_per_step: int, epochs: int) -> list[int]:
    """Prompts in each step of a run that draws epochs x (sum of sizes) prompts; the last step may have fewer."""
    whole, rest = divmod(epochs * sum(sizes.values()), prompts_per_step)
    return [prompts_per_step] * whole + [rest] * (rest > 0)


def apportion(
    prompts: int, shares: Mapping[str, float], credit: Mapping[str, float]
) -> tuple[dict[str, int], dict[str, float]]:
    """Divide a step's prompts among tasks by their shares; what whole prompts cannot express is carried over.

    Args:
        prompts: in the step.
        shares: per task, not negative; only their ratios count.
        credit: per task, the prompts still owed to it, from the step before; they add up to 0.

    Returns:
        Prompts per task, and the credit for the next step. A task is always less than one prompt ahead of its exact
        share of all steps so far.
    """
    total = sum(shares.values())
    owed = {task: credit[task] + prompts * share / total for task, share in shares.items()}
    counts = dict.fromkeys(shares, 0)
    for _ in range(prompts):
        task = max(owed, key=owed.__getitem__)  # of equals the first
        counts[task] += 1
        owed[task] -= 1
    return counts, owed


def take(
    counts: Mapping[str, int], drawn: Mapping[str, int], sizes: Mapping[str, int], *, seed: int, step: int
) -> Batch:
    """The next prompts of every task, mixed.

    Args:
        counts: prompts to take per task.
        drawn: prompts taken before, per task.
        sizes: prompts that each task has.
        seed: fixes the order.
        step: fixes how the batch is mixed.
    """
    items = []
    for task, count in counts.items():
        for number in range(drawn[task], drawn[task] + count):
            epoch, place = divmod(number, sizes[task])
            items.append(Item(task, task_order(task, sizes[task], seed, epoch)[place], epoch))
    random.Random(f"mix {seed} {step}").shuffle(items)
    return tuple(items)


def tasks_of(batch: Batch) -> Counter[str]:
    """Prompts per task of a batch."""
    return Counter(item.task for item in batch)


@lru_cache(maxsize=64)
def task_order(task: str, size: int, seed: int, epoch: int) -> tuple[int, ...]:
    """The order of a task's rows in one pass over them: [size] indices."""
    order = list(range(size))
    random.Random(f"task {task} {seed} {epoch}").shuffle(order)
    return tuple(order)


def _cut(items: Sequence[Item], size: int) -> list[Batch]:
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]
