"""Names of folders and files in a study folder. Needs no torch."""

from __future__ import annotations

STAGES_INDEX = "stages.json"
"""All stages of the study, for readers such as the report."""
ACCURACIES = "accuracies.json"
"""Accuracies of the base and the single-task runs: the input of ``omnithinker plan``."""
PLAN = "plan.json"
"""Transfer matrix, predictions and task orders."""
REPORT = "report.html"
"""Report of the study."""
LOCK = "running.json"
"""Host and process of a running stage, in the stage's folder."""


def stage_folder(stage: str) -> str:
    """Return the folder name of a stage: ``single:math#1`` becomes ``single-math-seed1``."""
    return stage.replace(":", "-").replace("#", "-seed").replace(">", "-")
