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
        """Build the schedule of a run."""
        batches = curriculum_batches(
            inputs.sizes,
            list(inputs.sizes),
            prompts_per_step=inputs.prompts_per_step,
            epochs=inputs.epochs,
            seed=inputs.seed,
        )
        return cls(batches[: inputs.max_steps])


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
