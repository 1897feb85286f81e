"""Training and evaluation of a recipe: the functions behind ``omnithinker train`` and ``omnithinker evaluate``.

torch is imported when a function runs, after its arguments have been checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from omnithinker.config.file import as_recipe
from omnithinker.config.recipe import Recipe, known_task
from omnithinker.io.layout import RESULT
from omnithinker.policy.source import require_model
from omnithinker.schedules.plan import RunPlan, plan_run
from omnithinker.train.folder import read_record
from omnithinker.types import EvalResult
from omnithinker.ui.judge_usage import usage_lines
from omnithinker.ui.view import View


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A finished training run."""

    folder: Path
    """Run folder: metrics, rollouts, checkpoints and evaluations."""
    plan: RunPlan
    """Schedule, tasks and seed."""
    step: int
    """Step whose weights were evaluated."""
    model: Path
    """Folder of these weights, for :func:`evaluate_model` or transformers."""
    evaluation: Mapping[str, EvalResult]
    """Evaluation of these weights on every task of the recipe."""


def train_model(
    recipe: Recipe | str | Path,
    *,
    task: str | None = None,
    schedule: str | None = None,
    order: Sequence[str] | None = None,
    output: str | Path | None = None,
    view: View | None = None,
) -> TrainingResult:
    """Train a model on one task, or on all tasks under a schedule, and evaluate it.

    An interrupted run resumes in its folder; a finished one is only read.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        task: train on this task alone; not needed for the only task of a recipe.
        schedule: train on all tasks under this schedule: ``curriculum``, ``joint``, ``mixture`` or ``adaptive``.
        order: task order of a curriculum; by default the order of the recipe.
        output: run folder; by default the recipe's ``output`` with the run's name.
        view: progress display; by default one on standard error.

    Raises:
        BadInput: if the arguments contradict each other, or something that the recipe needs is missing.
        Interrupted: if the user stopped the run; the same call resumes it.
    """
    recipe = as_recipe(recipe)
    plan = plan_run(recipe, task=task, schedule=schedule, order=order)
    require_model(recipe.model.path)

    from omnithinker.train.context import RunContext
    from omnithinker.train.run import run_training

    folder = Path(output) if output else Path(f"{recipe.output}-{plan.folder_name}")
    with view or View(Console(stderr=True)) as view, RunContext(recipe, view.note) as context:
        evaluation = run_training(context, plan, folder, view)
    result = read_record(folder / RESULT, "measured_step", "model")
    return TrainingResult(folder, plan, result["measured_step"], folder / result["model"], evaluation)


def evaluate_model(
    recipe: Recipe | str | Path,
    *,
    model: str | Path | None = None,
    tasks: Sequence[str] | None = None,
    view: View | None = None,
) -> dict[str, EvalResult]:
    """Measure accuracy and entropy of a model on the held-out rows of a recipe's tasks.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        model: folder or hub name of a model or adapter; by default the recipe's base model.
        tasks: evaluate on these tasks only.
        view: progress display; by default one on standard error. At the end it shows calls and cost of judges.

    Returns:
        One evaluation per task.

    Raises:
        BadInput: if there is no such task, or something that the recipe needs is missing.
    """
    recipe = _for_evaluation(as_recipe(recipe), model, tasks)
    require_model(recipe.model.path)

    from omnithinker.train.context import RunContext

    with view or View(Console(stderr=True)) as view:
        context = RunContext(recipe, view.note)
        try:
            with context:
                return context.evaluate_base()
        finally:
            for line in usage_lines(context.resources.ledger.metrics()):
                view.print(line)


def _for_evaluation(recipe: Recipe, model: str | Path | None, tasks: Sequence[str] | None) -> Recipe:
    """Return a recipe with another base model, or with some of its tasks only.

    Raises:
        BadInput: if there is no such task.
    """
    update: dict[str, object] = {}
    if tasks is not None:
        update["tasks"] = {known_task(recipe, name): recipe.tasks[name] for name in tasks}
    if model is not None:
        update["model"] = recipe.model.model_copy(update={"path": str(model)})
    return recipe.model_copy(update=update)
