"""The manifest that every result file begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.io.runlog import versions
from omnithinker.rewards.resources import Resources
from omnithinker.types import EvalResult


def manifest(
    name: str, recipe: Recipe, resources: Resources, results: Mapping[str, EvalResult], seconds: float
) -> dict[str, Any]:
    """Return the fields common to all result files.

    Args:
        name: name of the run or stage.
        recipe: all settings.
        resources: sandbox and judges in use.
        results: evaluation per task.
        seconds: wall-clock time since the last start, if the run was interrupted.
    """
    return {
        "name": name,
        "seconds": round(seconds, 2),
        "versions": versions(),
        "sandbox": resources.sandbox_level(),
        "judges": resources.ledger.record(),
        "recipe": recipe.digest(),
        "tasks": {task: asdict(result) for task, result in results.items()},
    }
