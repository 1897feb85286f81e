"""Stages ``single:<task>``: single-task training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from omnithinker.config.recipe import Recipe
from omnithinker.schedules.plan import RunPlan
from omnithinker.study.stage import Stage, TrainingStage


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleStage(TrainingStage):
    """Train on one task and evaluate on all. The subject is the task."""

    kind: ClassVar[str] = "single"

    @classmethod
    def of_study(cls, recipe: Recipe, earlier: Sequence[Stage]) -> Sequence[Stage]:
        """Return one stage per task and seed."""
        return [stage for task in recipe.tasks for stage in cls.per_seed(recipe, f"single:{task}", task)]

    @property
    def label(self) -> str:
        """Name in the report."""
        return f"{self.subject} alone"

    def run_plan(self, recipe: Recipe, study: Path | None = None) -> RunPlan:
        """Return the training run of the stage."""
        return RunPlan.single_task(self.subject, recipe.seed + self.seed)
