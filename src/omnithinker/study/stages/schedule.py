"""Stages named after a schedule, such as ``joint``: all tasks at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from omnithinker.config.recipe import Recipe
from omnithinker.schedules.plan import RunPlan, schedule_class
from omnithinker.study.stage import Stage, TrainingStage


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStage(TrainingStage):
    """Train all tasks under a registered schedule. The subject is the schedule's name."""

    kind: ClassVar[str] = "schedule"

    @classmethod
    def of_study(cls, recipe: Recipe, earlier: Sequence[Stage]) -> Sequence[Stage]:
        """Return one stage per schedule of ``study.schedules`` and seed."""
        return [stage for name in recipe.study.schedules for stage in cls.per_seed(recipe, name, name)]

    @property
    def label(self) -> str:
        """Name in the report."""
        return schedule_class(self.subject).label

    def run_plan(self, recipe: Recipe, study: Path | None = None) -> RunPlan:
        """Return the training run of the stage."""
        return RunPlan(self.subject, tuple(recipe.tasks), recipe.seed + self.seed)
