"""Training and evaluation of a recipe: the functions behind ``omnithinker train`` and ``omnithinker evaluate``.

torch is imported when a function runs, after its arguments have been checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omnithinker.config.file import as_recipe
from omnithinker.config.recipe import Recipe, known_task, require_rewards
from omnithinker.config.warmup import WarmupSettings
from omnithinker.data.sources import require_data
from omnithinker.errors import BadInput
from omnithinker.evals.completions import EvaluatedCompletions
from omnithinker.io.files import make_place, write_json
from omnithinker.io.layout import RESULT, WARMUP, completions_file
from omnithinker.io.lock import lock
from omnithinker.policy.source import require_model
from omnithinker.schedules.plan import RunPlan, plan_run
from omnithinker.train.folder import read_record
from omnithinker.types import EvalResult
from omnithinker.ui.console import SafeConsole
from omnithinker.ui.judge_usage import usage_lines
from omnithinker.ui.view import View

if TYPE_CHECKING:
    from omnithinker.train.context import RunContext


@dataclass(frozen=True, slots=True)
class SftResult:
    """A finished supervised fine-tuning."""

    folder: Path
    """Run folder: metrics, checkpoints and model."""
    model: Path
    """Folder of the trained model, adapters merged."""
    steps: int
    """Updates."""
    demonstrations: int
    """Demonstrations learned."""
    val_loss: float | None
    """Validation loss after the last update (nats per completion token); None without validation items."""
    val_loss_per_task: Mapping[str, float]
    """The same per task."""


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

    An interrupted run resumes in its folder; a finished one is only read. If the recipe has a warm-up, it comes first;
    runs with the same ``output`` share it.

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
    require_rewards(recipe)
    plan = plan_run(recipe, task=task, schedule=schedule, order=order)
    require_model(recipe.model.path)
    require_data(recipe.tasks.values())

    from omnithinker.train.context import RunContext
    from omnithinker.train.number_format import with_number_format
    from omnithinker.train.run import run_training
    from omnithinker.train.sft.run import run_warmup

    folder = Path(output) if output else Path(f"{recipe.output}-{plan.folder_name}")
    warmup = Path(output or recipe.output) / WARMUP
    with (
        view or View(SafeConsole(stderr=True)) as view,
        RunContext(with_number_format(recipe, view.note, folder, warmup), view.note) as context,
    ):
        if recipe.warmup:
            context.start = run_warmup(context, warmup, view)
        evaluation = run_training(context, plan, folder, view)
    result = read_record(folder / RESULT, "measured_step", "model")
    return TrainingResult(folder, plan, result["measured_step"], folder / result["model"], evaluation)


def finetune_model(
    recipe: Recipe | str | Path, *, output: str | Path | None = None, view: View | None = None
) -> SftResult:
    """Fine-tune the base model on the demonstrations of a recipe's tasks: its warm-up, alone.

    An interrupted run resumes in its folder; a finished one is only read. By default ``study`` and ``train`` start from
    its result.

    Args:
        recipe: a recipe, its file, or the name of a shipped one; without a group ``warmup`` its defaults apply.
        output: run folder; by default ``warmup`` in the recipe's ``output``.
        view: progress display; by default one on standard error.

    Raises:
        BadInput: if no task has a demonstration, or something that the recipe needs is missing.
        Interrupted: if the user stopped the run; the same call resumes it.
    """
    recipe = with_warmup(as_recipe(recipe))
    require_model(recipe.model.path)
    require_data(recipe.tasks.values())

    from omnithinker.train.context import RunContext
    from omnithinker.train.number_format import with_number_format
    from omnithinker.train.sft.run import run_warmup

    folder = Path(output) if output else Path(recipe.output) / WARMUP
    with (
        view or View(SafeConsole(stderr=True)) as view,
        RunContext(with_number_format(recipe, view.note, folder), view.note) as context,
    ):
        model = run_warmup(context, folder, view)
    result = read_record(folder / RESULT, *SFT_RESULT)
    return SftResult(folder, model, *(result[name] for name in SFT_RESULT))


def with_warmup(recipe: Recipe) -> Recipe:
    """Return a recipe with the default warm-up if it has none.

    Raises:
        BadInput: if no task has a demonstration.
    """
    if not any(task.demonstration for task in recipe.tasks.values()):
        raise BadInput('no task has a demonstration; add one, such as tasks.NAME.demonstration = "{answer}"')
    return recipe if recipe.warmup else recipe.model_copy(update={"warmup": WarmupSettings()})


SFT_RESULT = ("steps", "demonstrations", "val_loss", "val_loss_per_task")
"""Fields of a result of supervised fine-tuning that :class:`SftResult` repeats."""


def evaluate_model(
    recipe: Recipe | str | Path,
    *,
    model: str | Path | None = None,
    tasks: Sequence[str] | None = None,
    output: str | Path | None = None,
    completions: EvaluatedCompletions | None = None,
    view: View | None = None,
) -> dict[str, EvalResult]:
    """Measure accuracy and entropy of a model on the held-out rows of a recipe's tasks.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        model: folder or hub name of a model or adapter; by default the model that runs start from: the result of a
            finished warm-up in the recipe's ``output``, else the recipe's base model.
        tasks: evaluate on these tasks only.
        output: JSON file for the results; all completions go to a file of the same name that ends in ``.jsonl``.
        completions: receives all completions.
        view: progress display; by default one on standard error. At the end it shows calls and cost of judges.

    Returns:
        One evaluation per task.

    Raises:
        BadInput: if there is no such task, or something that the recipe needs is missing.
        Interrupted: if another process evaluates into the same file.
    """
    whole = as_recipe(recipe)
    recipe = _for_evaluation(whole, model, tasks)
    require_rewards(recipe)
    require_model(recipe.model.path)
    require_data(recipe.tasks.values())
    if output is not None:
        make_place(Path(output))
        make_place(completions_file(Path(output)))

    from omnithinker.train.context import RunContext
    from omnithinker.train.number_format import with_number_format
    from omnithinker.train.sft.run import warmed_up_model

    with view or View(SafeConsole(stderr=True)) as view:
        context = RunContext(with_number_format(recipe, view.note), view.note)
        if model is None:
            context.start = warmed_up_model(whole, view.note)
        try:
            with context, _locked(output):
                return _evaluate(context, output, completions or EvaluatedCompletions())
        finally:
            for line in usage_lines(context.resources.ledger.metrics()):
                view.print(line)


def _locked(output: str | Path | None) -> AbstractContextManager[None]:
    """Lock the file of an evaluation's results, so that no other process pays for the same one."""
    return nullcontext() if output is None else lock(Path(output).parent, Path(output).name)


def _evaluate(
    context: RunContext, output: str | Path | None, completions: EvaluatedCompletions
) -> dict[str, EvalResult]:
    """Evaluate the recipe's model; write completions, also if no outcome is defined, and results."""
    try:
        results = context.evaluate_base(completions)
    finally:
        if output is not None and completions.tasks:
            completions.save(completions_file(Path(output)))
    if output is not None:
        write_json(Path(output), {task: asdict(result) for task, result in results.items()})
    return results


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
