"""Studies of a recipe: the function behind ``omnithinker study``.

torch is imported when the function runs, after its arguments have been checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omnithinker.config.file import as_recipe
from omnithinker.config.recipe import Recipe, require_rewards
from omnithinker.data.sources import require_data
from omnithinker.io.layout import PLAN, REPORT
from omnithinker.io.results import read_plan
from omnithinker.policy.source import require_model
from omnithinker.study.stages import list_stages
from omnithinker.train.folder import read_results
from omnithinker.types import EvalResult
from omnithinker.ui.console import SafeConsole
from omnithinker.ui.view import View


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Results of a study's finished stages."""

    folder: Path
    """Study folder, with one run folder per training stage."""
    evaluations: Mapping[str, Mapping[str, EvalResult]]
    """Per stage, such as ``base`` or ``single:math``, the evaluation of its model on every task."""
    order: tuple[str, ...] | None
    """Planned task order; None before the stage ``plan``."""
    report: Path | None
    """HTML report; None before the stage ``report``."""


def run_study(
    recipe: Recipe | str | Path,
    *,
    stage: str | None = None,
    output: str | Path | None = None,
    view: View | None = None,
) -> StudyResult:
    """Run the stages of a study: base evaluation, single-task runs, plan, curricula, schedules, report.

    A stage with a result does not run again, and an interrupted one resumes.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        stage: run this stage alone, such as ``single:math``.
        output: study folder; by default the recipe's ``output``.
        view: progress display; by default one on standard error.

    Returns:
        Results of all stages that are done.

    Raises:
        BadInput: if there is no such stage, a stage that it needs is not done, the folder holds results of other
            settings, or something that the recipe needs is missing.
        Interrupted: if the user stopped the study; the same call resumes it.
    """
    recipe = as_recipe(recipe)
    if output is not None:
        recipe = recipe.model_copy(update={"output": str(output)})
    require_rewards(recipe)
    require_model(recipe.model.path)
    require_data(recipe.tasks.values())

    from omnithinker.study.runner import run_stages
    from omnithinker.train.context import RunContext
    from omnithinker.train.number_format import with_number_format

    with (
        view or View(SafeConsole(stderr=True)) as view,
        RunContext(with_number_format(recipe, view.note, Path(recipe.output)), view.note) as context,
    ):
        run_stages(context, view, stage)
    return read_study(recipe)


def read_study(recipe: Recipe | str | Path) -> StudyResult:
    """Read the results of a recipe's study, finished or not, from its folder.

    Raises:
        DataError: if a file is damaged.
    """
    recipe = as_recipe(recipe)
    folder = Path(recipe.output)
    plan, report = folder / PLAN, folder / REPORT
    return StudyResult(
        folder=folder,
        evaluations={
            stage.name: read_results(stage.result(folder))
            for stage in list_stages(recipe)
            if stage.evaluates and stage.result(folder).exists()
        },
        order=tuple(read_plan(plan)["order"]) if plan.exists() else None,
        report=report if report.exists() else None,
    )
