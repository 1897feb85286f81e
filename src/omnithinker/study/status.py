"""Progress of a study, read from its files. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from omnithinker.config.recipe import Recipe
from omnithinker.io.files import read_json_lines
from omnithinker.io.layout import METRICS
from omnithinker.io.lock import lock_holder
from omnithinker.study.stage import Stage
from omnithinker.study.stages import list_stages
from omnithinker.train.folder import read_results


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Progress of one stage."""

    stage: Stage
    """The stage."""
    state: Literal["done", "running", "waiting"]
    """``running`` if a process holds its lock."""
    step: int
    """Training steps finished."""
    accuracies: Mapping[str, float]
    """Greedy accuracy per task; empty until done."""


def status(recipe: Recipe, study: Path) -> list[StageStatus]:
    """Return the progress of every stage."""
    return [_stage_status(stage, study) for stage in list_stages(recipe)]


def _stage_status(stage: Stage, study: Path) -> StageStatus:
    accuracies: dict[str, float] = {}
    state: Literal["done", "running", "waiting"]
    if stage.result(study).exists():
        state = "done"
        if stage.evaluates:
            results = read_results(stage.result(study))
            accuracies = {task: result.accuracy for task, result in results.items()}
    else:
        state = "waiting" if lock_holder(stage.folder(study)) is None else "running"
    step = len(read_json_lines(stage.folder(study) / METRICS))
    return StageStatus(stage, state, step, accuracies)
