"""Joint training: all tasks mixed uniformly."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar

from omnithinker.schedules.base import Batch, FixedSchedule, Item, ScheduleInputs, cut


class Joint(FixedSchedule):
    """Joint training: each batch is sampled uniformly, without replacement, from the union of all tasks."""

    label: ClassVar[str] = "joint training"
    ordered: ClassVar[bool] = False
    settings_class: ClassVar[None] = None

    @classmethod
    def build(cls, inputs: ScheduleInputs, settings: None = None) -> Joint:
        """Build the schedule of a run."""
        batches = joint_batches(
            inputs.sizes, prompts_per_step=inputs.prompts_per_step, epochs=inputs.epochs, seed=inputs.seed
        )
        return cls(batches[: inputs.max_steps])


def joint_batches(sizes: Mapping[str, int], *, prompts_per_step: int, epochs: int, seed: int) -> list[Batch]:
    """Return the batches of joint training.

    Args:
        sizes: training prompts per task.
        prompts_per_step: P.
        epochs: passes over the union.
        seed: seed of the order.
    """
    batches: list[Batch] = []
    for epoch in range(epochs):
        items = [Item(task, index, epoch) for task, size in sizes.items() for index in range(size)]
        random.Random(f"joint {seed} {epoch}").shuffle(items)
        batches += cut(items, prompts_per_step)
    return batches
