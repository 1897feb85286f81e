"""Plans of training runs, and the schedule of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omnithinker.config.recipe import Recipe, known_task, parse_order
from omnithinker.config.registry import SCHEDULES
from omnithinker.errors import BadInput
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


def plan_run(
    recipe: Recipe, *, task: str | None = None, schedule: str | None = None, order: Sequence[str] | None = None
) -> RunPlan:
    """Return the run that trains on one task, or on all tasks under a schedule.

    Args:
        recipe: its tasks and seed.
        task: train on this task alone; not needed for the only task of a recipe.
        schedule: registered name of the schedule for all tasks.
        order: task order, for schedules that have one; by default the order of the recipe.

    Raises:
        BadInput: if the arguments contradict each other or the recipe.
    """
    if task is None and schedule is None and len(recipe.tasks) == 1:
        task = next(iter(recipe.tasks))
    if (task is None) == (schedule is None):
        raise BadInput(
            "select what to train: one task (--task), or a schedule for all tasks "
            f"(--schedule {', '.join(SCHEDULES)}); tasks: {', '.join(recipe.tasks)}"
        )
    ordered = schedule is not None and schedule_class(schedule).ordered
    if order is not None and not ordered:
        raise BadInput("--order needs a schedule with a task order: --schedule curriculum")
    if schedule is None:
        return RunPlan.single_task(known_task(recipe, str(task)), recipe.seed)
    tasks = list(recipe.tasks)
    return RunPlan(schedule, tuple(tasks if order is None else parse_order(",".join(order), tasks)), recipe.seed)


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
