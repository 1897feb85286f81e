"""Mixtures: fixed shares of every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from omnithinker.schedules.base import Batch, FixedSchedule, ScheduleInputs
from omnithinker.schedules.shares import apportion, next_prompts, step_sizes


class Mixture(FixedSchedule):
    """Mixture: every batch holds each task's share of prompts, as exactly as whole prompts allow."""

    label: ClassVar[str] = "mixture"
    ordered: ClassVar[bool] = False
    settings_class: ClassVar[None] = None

    @classmethod
    def build(cls, inputs: ScheduleInputs, settings: None = None) -> Mixture:
        """Build the schedule of a run."""
        batches = mixture_batches(
            inputs.sizes,
            inputs.shares,
            prompts_per_step=inputs.prompts_per_step,
            epochs=inputs.epochs,
            seed=inputs.seed,
        )
        return cls(batches[: inputs.max_steps])


def mixture_batches(
    sizes: Mapping[str, int], shares: Mapping[str, float], *, prompts_per_step: int, epochs: int, seed: int
) -> list[Batch]:
    """Return the batches of a mixture.

    The run has as many prompts as joint training. A task with a large share starts further passes over its prompts;
    one with a small share may not finish its first. No prompt repeats within a pass.

    Args:
        sizes: training prompts per task.
        shares: share per task, positive; only ratios count.
        prompts_per_step: P.
        epochs: the run has epochs x (sum of sizes) prompts.
        seed: seed of the order within tasks and batches.
    """
    batches: list[Batch] = []
    consumed = dict.fromkeys(sizes, 0)
    credit = dict.fromkeys(sizes, 0.0)
    for step, size in enumerate(step_sizes(sizes, prompts_per_step=prompts_per_step, epochs=epochs)):
        counts, credit = apportion(size, shares, credit)
        batches.append(next_prompts(counts, consumed, sizes, seed=seed, step=step))
        consumed = {task: consumed[task] + counts[task] for task in sizes}
    return batches
