"""The stages of a study: what they are called, where their results lie, and how far they are. Needs no torch."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omnithinker.config.recipe import Recipe
from omnithinker.io.files import read_json
from omnithinker.types import EvalResult

RESULT = "result.json"
"""Written last: a run folder that has it is finished."""
LOCK = "running.json"
STALE_AFTER_S = 600.0
"""A stage of another machine that has given no sign of life for so long is taken over."""

Kind = Literal["base", "single", "plan", "curriculum", "joint", "report"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a study."""

    name: str
    """As given to ``--stage``: ``base``, ``single:math``, ``plan``, ``curriculum:best``, ``joint``, ``report``;
    with several seeds the training stages end in ``#seed``."""
    kind: Kind
    """What it does."""
    subject: str = ""
    """Task of a single-task run; order of a curriculum (``best``, ``worst`` or task names joined by ``>``)."""
    seed: int = 0
    """Seed of a training run."""
    needs: tuple[str, ...] = ()
    """Stages whose results it reads."""

    def folder(self, study: Path) -> Path:
        """Where its results lie."""
        return study / self.name.replace(":", "-").replace("#", "-seed").replace(">", "-")

    def result(self, study: Path) -> Path:
        """The file that exists exactly when the stage is done."""
        files = {"plan": study / "plan.json", "report": study / "report.html"}
        return files.get(self.kind, self.folder(study) / RESULT)


def stages(recipe: Recipe) -> list[Stage]:
    """All stages of a recipe's study, in an order in which they can run."""
    many = len(recipe.study.seeds) > 1

    def training(kind: Kind, subject: str, needs: tuple[str, ...]) -> list[Stage]:
        base = f"{kind}:{subject}" if subject else kind
        return [Stage(f"{base}#{s}" if many else base, kind, subject, s, needs) for s in recipe.study.seeds]

    found = [Stage("base", "base")]
    for task in recipe.tasks:
        found += training("single", task, ())
    measured = tuple(stage.name for stage in found)
    found.append(Stage("plan", "plan", needs=measured))
    for order in recipe.study.orders:
        found += training("curriculum", order, ("plan",) if order in ("best", "worst") else ())
    if recipe.study.joint:
        found += training("joint", "", ())
    return [*found, Stage("report", "report", needs=tuple(stage.name for stage in found))]


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Where a stage is."""

    stage: Stage
    """Which."""
    state: Literal["done", "running", "waiting"]
    """``running``: a process holds it now."""
    step: int
    """Training steps finished."""
    accuracies: Mapping[str, float]
    """Greedy accuracy per task, once done."""


def status(recipe: Recipe, folder: Path) -> list[StageStatus]:
    """Where every stage is, read from files."""
    found = []
    for stage in stages(recipe):
        accuracies: dict[str, float] = {}
        if stage.result(folder).exists():
            state: Literal["done", "running", "waiting"] = "done"
            if stage.kind not in ("plan", "report"):
                accuracies = {t: r.accuracy for t, r in read_results(stage.result(folder)).items()}
        else:
            state = "running" if holder_of(stage, folder) else "waiting"
        metrics = stage.folder(folder) / "metrics.jsonl"
        step = metrics.read_text(encoding="utf-8").count("\n") if metrics.exists() else 0
        found.append(StageStatus(stage, state, step, accuracies))
    return found


def holder_of(stage: Stage, folder: Path) -> dict[str, Any] | None:
    """Who is at work on a stage, if anyone is."""
    file = stage.folder(folder) / LOCK
    try:
        holder: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        # Who runs a stage touches its lock every minute, so its age tells whether a process elsewhere is alive.
        newest = max(path.stat().st_mtime for path in stage.folder(folder).iterdir())
    except (OSError, ValueError):
        return None
    if holder.get("host") != socket.gethostname():
        return holder if time.time() - newest < STALE_AFTER_S else None
    try:
        os.kill(holder["pid"], 0)
    except (ProcessLookupError, KeyError, TypeError):
        return None
    except PermissionError:
        pass
    return holder


def read_results(path: Path) -> dict[str, EvalResult]:
    """Read the evaluations in a result or evaluation file."""
    return {task: EvalResult(**fields) for task, fields in read_json(path)["tasks"].items()}
