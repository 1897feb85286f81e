"""Stages of a study: one file per kind, registered here in the order in which they run. Needs no torch."""

from __future__ import annotations

from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import Registry
from omnithinker.io.layout import stage_folder
from omnithinker.study.stage import Stage

STAGES = Registry(
    "stage",
    {
        "warmup": "omnithinker.study.stages.warmup:WarmupStage",
        "base": "omnithinker.study.stages.base:BaseStage",
        "single": "omnithinker.study.stages.single:SingleStage",
        "plan": "omnithinker.study.stages.plan:PlanStage",
        "curriculum": "omnithinker.study.stages.curriculum:CurriculumStage",
        "schedule": "omnithinker.study.stages.schedule:ScheduleStage",
        "report": "omnithinker.study.stages.report:ReportStage",
    },
)


def list_stages(recipe: Recipe) -> list[Stage]:
    """Return all stages of a recipe's study, in an order in which they can run."""
    stages: list[Stage] = []
    for kind in STAGES:
        stages += STAGES.load(kind).of_study(recipe, tuple(stages))
    return stages


def stages_index(recipe: Recipe) -> list[dict[str, Any]]:
    """Return the content of ``stages.json``: one record per stage.

    ``seed`` is the study seed of a training stage in a study with several seeds, else null. ``schedule`` is the
    registered schedule of a training stage, else null. ``folder`` is null for a stage without a folder of its own.
    """
    several = len(recipe.study.seeds) > 1
    index = []
    for stage in list_stages(recipe):
        plan = stage.run_plan(recipe)
        index.append(
            {
                "name": stage.name,
                "kind": stage.kind,
                "label": stage.label,
                "folder": stage_folder(stage.name) if stage.evaluates else None,
                "subject": stage.subject,
                "seed": stage.seed if several else None,
                "needs": list(stage.needs),
                "schedule": plan.schedule if plan else None,
            }
        )
    return index
