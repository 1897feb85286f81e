"""Stage ``plan``: transfer, predictions and task orders from the single-task runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from omnithinker.config.recipe import Recipe
from omnithinker.io.files import write_json
from omnithinker.io.layout import ACCURACIES, EVALUATIONS, PLAN, RESULT, stage_folder, step_files
from omnithinker.io.step_metrics import mean_defined
from omnithinker.planning import make_plan, plan_to_json, read_accuracies
from omnithinker.study.stage import Stage
from omnithinker.study.stages.single import SingleStage
from omnithinker.train.folder import read_record, read_results

if TYPE_CHECKING:
    from omnithinker.train.context import RunContext
    from omnithinker.ui.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStage(Stage):
    """Write ``accuracies.json`` and ``plan.json`` from the base evaluation and the single-task runs."""

    kind: ClassVar[str] = "plan"
    evaluates: ClassVar[bool] = False

    @classmethod
    def of_study(cls, recipe: Recipe, earlier: Sequence[Stage]) -> Sequence[Stage]:
        """Return the one stage."""
        return [cls(name="plan", needs=tuple(stage.name for stage in earlier))]

    @property
    def label(self) -> str:
        """Name in the report."""
        return "plan"

    def result(self, study: Path) -> Path:
        """Return the plan file."""
        return study / PLAN

    def run(self, context: RunContext, study: Path, view: View) -> None:
        """Write both files."""
        write_json(study / ACCURACIES, accuracy_table(context.recipe, study))
        plan = make_plan(read_accuracies(study / ACCURACIES))
        write_json(self.result(study), plan_to_json(plan))


def accuracy_table(recipe: Recipe, study: Path) -> dict[str, Any]:
    """Return the input of ``omnithinker plan``: greedy accuracies of the base and after each single-task run.

    With several seeds, accuracies and per-item outcomes are means over seeds. ``probes`` holds the accuracies measured
    during the single-task runs of the first seed, by fraction of the run.
    """
    tasks = list(recipe.tasks)
    base = read_results(study / stage_folder("base") / RESULT)
    after: dict[str, dict[str, float]] = {}
    items = {"base": {task: list(base[task].outcomes) for task in tasks}}
    probes: dict[float, dict[str, dict[str, float]]] = {}
    for trained in tasks:
        stages = [stage for stage in SingleStage.of_study(recipe, ()) if stage.subject == trained]
        results = [read_results(stage.result(study)) for stage in stages]
        after[trained] = {task: _mean([result[task].accuracy for result in results]) for task in tasks}
        items[trained] = {task: _mean_items([result[task].outcomes for result in results]) for task in tasks}
        for fraction, accuracies in _probes(stages[0], study).items():
            probes.setdefault(fraction, {})[trained] = accuracies
    return {
        "tasks": tasks,
        "base": {task: base[task].accuracy for task in tasks},
        "after": after,
        "n": {task: base[task].n for task in tasks},
        "items": items,
        "probes": [{"fraction": f, "after": probes[f]} for f in sorted(probes) if len(probes[f]) == len(tasks)],
    }


def _probes(stage: Stage, study: Path) -> dict[float, dict[str, float]]:
    """Read the accuracies measured before the step that the stage's result evaluates, by fraction of that step."""
    last = read_record(stage.result(study), "measured_step")["measured_step"]
    probes = {}
    for file in step_files(stage.folder(study) / EVALUATIONS):
        evaluation = read_record(file, "step", "tasks")
        if evaluation["step"] < last:
            fraction = round(evaluation["step"] / last, 3)
            probes[fraction] = {task: result.accuracy for task, result in evaluation["tasks"].items()}
    return probes


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_items(outcomes: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Average the defined outcomes of each item over seeds."""
    return [mean_defined(column) for column in zip(*outcomes, strict=True)]
