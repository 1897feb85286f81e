"""Curricula: one task after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from omnithinker.errors import BadInput
from omnithinker.schedules.base import Batch, FixedSchedule, Item, ScheduleInputs, cut, task_order


class Curriculum(FixedSchedule):
    """Curriculum: all epochs of one task, then the next task in the order. Single-task training is the case K = 1."""

    label: ClassVar[str] = "curriculum"
    ordered: ClassVar[bool] = True
    settings_class: ClassVar[None] = None

    @classmethod
    def build(cls, inputs: ScheduleInputs, settings: None = None) -> Curriculum:
        """Build the schedule of a run. A limit of steps shortens every task in proportion.

        Raises:
            BadInput: if the limit is below the number of tasks.
        """
        batches = {
            task: curriculum_batches(
                inputs.sizes,
                [task],
                prompts_per_step=inputs.prompts_per_step,
                epochs=inputs.epochs,
                seed=inputs.seed,
            )
            for task in inputs.sizes
        }
        kept = limit_steps({task: len(steps) for task, steps in batches.items()}, inputs.max_steps)
        return cls([batch for task, steps in batches.items() for batch in steps[: kept[task]]])


def limit_steps(steps: Mapping[str, int], limit: int | None) -> dict[str, int]:
    """Return the steps of each task under a limit of their sum: its share, rounded, but at least one.

    The result does not depend on the order of the tasks, so curricula still differ in the order alone.

    Args:
        steps: steps per task without a limit.
        limit: largest sum; None for no limit.

    Raises:
        BadInput: if the limit is below the number of tasks.
    """
    total = sum(steps.values())
    if limit is None or limit >= total:
        return dict(steps)
    if limit < len(steps):
        raise BadInput(
            f"training.max_steps = {limit}: a curriculum of {len(steps)} tasks needs at least {len(steps)} steps"
        )
    kept = {task: max(1, limit * count // total) for task, count in steps.items()}
    while sum(kept.values()) > limit:  # tasks with less than one step have been given one
        kept[max(kept, key=lambda task: (kept[task], task))] -= 1
    rounded_down = [task for task in steps if limit * steps[task] > total]
    rounded_down.sort(key=lambda task: (-(limit * steps[task] % total), task))
    for task in rounded_down[: limit - sum(kept.values())]:
        kept[task] += 1
    return kept


def curriculum_batches(
    sizes: Mapping[str, int], order: Sequence[str], *, prompts_per_step: int, epochs: int, seed: int
) -> list[Batch]:
    """Return the batches of a curriculum; each holds prompts of one task.

    The batches of a task are the same in every order, so curricula differ in the order alone.

    Args:
        sizes: training prompts per task.
        order: tasks to train, first to last.
        prompts_per_step: P.
        epochs: passes over each task.
        seed: seed of the order within a task.

    Raises:
        BadInput: if a task of ``order`` has no data.
    """
    batches: list[Batch] = []
    for task in order:
        if task not in sizes:
            raise BadInput(f"no task {task!r}; known: {', '.join(sizes)}")
        for epoch in range(epochs):
            items = [Item(task, index, epoch) for index in task_order(task, sizes[task], seed, epoch)]
            batches += cut(items, prompts_per_step)
    return batches
