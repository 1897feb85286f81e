"""Stages ``curriculum:<order>``: the tasks one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from omnithinker.config.recipe import Recipe, parse_order
from omnithinker.io.layout import PLAN
from omnithinker.io.results import read_plan
from omnithinker.schedules.plan import RunPlan
from omnithinker.study.stage import Stage, TrainingStage

PLANNED = {"best": "order", "worst": "worst"}
"""Orders that the plan decides, and their fields in ``plan.json``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumStage(TrainingStage):
    """Train a curriculum. The subject is its order: ``best``, ``worst`` or task names joined by ``>``."""

    kind: ClassVar[str] = "curriculum"

    @classmethod
    def of_study(cls, recipe: Recipe, earlier: Sequence[Stage]) -> Sequence[Stage]:
        """Return one stage per order of ``study.orders`` and seed."""
        return [
            stage
            for order in recipe.study.orders
            for stage in cls.per_seed(recipe, f"curriculum:{order}", order, ("plan",) if order in PLANNED else ())
        ]

    @property
    def label(self) -> str:
        """Name in the report."""
        if self.subject in PLANNED:
            return f"curriculum, {self.subject} order"
        return "curriculum " + self.subject.replace(">", " > ")

    def run_plan(self, recipe: Recipe, study: Path | None = None) -> RunPlan:
        """Return the training run of the stage."""
        tasks = list(recipe.tasks)
        if self.subject not in PLANNED:
            order = parse_order(self.subject.replace(">", ","), tasks)
        else:
            order = tasks if study is None else read_plan(study / PLAN)[PLANNED[self.subject]]
        return RunPlan("curriculum", tuple(order), recipe.seed + self.seed)
