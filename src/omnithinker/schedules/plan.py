"""Plans of training runs, and the schedule of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import SCHEDULES
from omnithinker.schedules.base import RegisteredSchedule, Schedule, ScheduleInputs


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Schedule, tasks and seed of a training run."""

    schedule: str
    """Registered name of the schedule."""
    order: tuple[str, ...]
    """Tasks to train, in training order if the schedule has one."""
    seed: int
    """Seed of data order and samples."""

    @classmethod
    def single_task(cls, task: str, seed: int) -> RunPlan:
        """Plan single-task training: a curriculum of one task."""
        return cls("curriculum", (task,), seed)

    @property
    def name(self) -> str:
        """Name shown to the user."""
        if not schedule_class(self.schedule).ordered:
            return self.schedule
        return f"{self.schedule} {' > '.join(self.order)}" if len(self.order) > 1 else f"single-task {self.order[0]}"

    @property
    def folder_name(self) -> str:
        """Name of the run folder."""
        if not schedule_class(self.schedule).ordered:
            return self.schedule
        return "-".join([self.schedule, *self.order] if len(self.order) > 1 else ["single", *self.order])


def schedule_class(name: str) -> type[RegisteredSchedule]:
    """Return the schedule registered under a name.

    Raises:
        RecipeError: if there is none.
    """
    registered: type[RegisteredSchedule] = SCHEDULES.load(name)
    return registered


def build_schedule(plan: RunPlan, recipe: Recipe, sizes: Mapping[str, int]) -> Schedule:
    """Build the schedule of a run.

    Args:
        plan: schedule, tasks and seed.
        recipe: settings of training, tasks and schedules.
        sizes: training prompts per task of the recipe.
    """
    training = recipe.training
    inputs = ScheduleInputs(
        sizes={task: sizes[task] for task in plan.order},
        shares={task: recipe.tasks[task].share for task in plan.order},
        prompts_per_step=training.prompts_per_step,
        epochs=training.epochs,
        seed=plan.seed,
        max_steps=training.max_steps,
    )
    registered = schedule_class(plan.schedule)
    settings: Any = None if registered.settings_class is None else getattr(recipe.schedules, plan.schedule)
    return registered.build(inputs, settings)
