"""Schedules (section 2.3 of the paper): which prompts form which step.

A schedule is a list of batches and a pure function of (data sizes, settings, seed): batches are disjoint and cover
every prompt once per epoch. Its whole state is therefore an index into the list.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omnithinker.errors import BadInput


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
            items = [Item(task, index, epoch) for index in range(sizes[task])]
            random.Random(f"task {task} {seed} {epoch}").shuffle(items)
            batches += _cut(items, prompts_per_step)
    return batches


def _cut(items: Sequence[Item], size: int) -> list[Batch]:
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]
