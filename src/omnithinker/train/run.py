"""One run: train a policy along a schedule, evaluate it, write the result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omnithinker.config.sharing import shareable_settings
from omnithinker.evals.completions import EvaluatedCompletions
from omnithinker.io.files import read_json, read_json_lines, remove_leftovers, write_json, write_text
from omnithinker.io.layout import (
    BEST,
    CARD,
    CHECKPOINTS,
    EVALUATIONS,
    JUDGES,
    METRICS,
    RESULT,
    VALIDATIONS,
    completions_file,
    step_file,
)
from omnithinker.io.lock import lock
from omnithinker.io.step_metrics import StepMetrics
from omnithinker.io.trackers import Trackers
from omnithinker.policy.loading import load_policy
from omnithinker.schedules.plan import RunPlan, build_schedule
from omnithinker.train.best import Selection
from omnithinker.train.card import model_card
from omnithinker.train.checkpoint import TrainerState
from omnithinker.train.context import RunContext
from omnithinker.train.folder import open_output_folder, read_results, refuse_changed_settings
from omnithinker.train.manifest import manifest
from omnithinker.train.trainer import Trainer
from omnithinker.types import EvalResult, Validation
from omnithinker.ui.view import View


def run_training(context: RunContext, plan: RunPlan, folder: Path, view: View) -> dict[str, EvalResult]:
    """Train, evaluate and write the result; resume an interrupted run, and only read the result of a finished one.

    Args:
        context: the recipe and the objects that its runs share.
        plan: schedule, tasks and seed.
        folder: run folder.
        view: shows progress.

    Returns:
        Evaluation of the trained policy on every task of the recipe.

    Raises:
        BadInput: if the folder cannot be written to, or holds results of other settings.
        Interrupted: if another process works in the folder.
    """
    recipe = context.recipe
    if (folder / RESULT).exists():
        refuse_changed_settings(folder, recipe)
        return read_results(folder / RESULT)
    with lock(folder):
        open_output_folder(folder, recipe)
        remove_leftovers(folder)
        if (folder / RESULT).exists():  # another process finished the run before it released the lock
            return read_results(folder / RESULT)
        return _run(context, plan, folder, view)


def _run(context: RunContext, plan: RunPlan, folder: Path, view: View) -> dict[str, EvalResult]:
    recipe = context.recipe
    with (
        closing(
            Trackers(
                recipe.trackers,
                shareable_settings(recipe),
                folder,
                view.note,
                completions=recipe.tracker_completions,
            )
        ) as trackers,
        context.resources.ledger.of_run(folder / JUDGES),
    ):
        return _train_and_evaluate(context, plan, folder, view, trackers)


def _train_and_evaluate(
    context: RunContext, plan: RunPlan, folder: Path, view: View, trackers: Trackers
) -> dict[str, EvalResult]:
    recipe = context.recipe
    schedule = build_schedule(plan, recipe, context.train_sizes)
    started = time.monotonic()
    view.start_run(plan.name, len(schedule))
    with Trainer(
        recipe.model_copy(update={"model": context.model}),
        context.train_prompts,
        schedule,
        context.scorer,
        folder,
        RunObserver(context, plan, folder, view, trackers),
        seed=plan.seed,
        base=context.reference_base,
    ) as trainer:
        state = trainer.train()
        if state.step < len(schedule):
            view.note(early_stop_message(state, len(schedule)))
        best = state.selection.overall if recipe.evaluation.result == "best" else None
        step = best.step if best else state.step
        view.note(f"evaluating step {step} on held-out items")
        completions = EvaluatedCompletions()
        if best:
            weights = load_policy(context.model, folder / CHECKPOINTS / "best")
            results = context.evaluate(weights, plan.seed, completions=completions)
        else:
            results = context.evaluate(trainer.policy, plan.seed, trainer.generator, completions=completions)
    trackers.result(state.step, {task: asdict(result) for task, result in results.items()})
    write_evaluation(folder / EVALUATIONS, step, results, completions)
    model = Path(CHECKPOINTS) / ("best" if best else f"step-{state.step}")
    write_text(folder / model / CARD, model_card(recipe, plan, results, state.step, step))
    write_json(
        folder / RESULT,
        manifest(plan.name, recipe, context.resources, results, time.monotonic() - started)
        | {
            "schedule": plan.schedule,
            "order": list(plan.order),
            "seed": plan.seed,
            "steps": state.step,
            "stopped_early": state.step < len(schedule),
            "measured_step": step,
            "model": str(model),
            "completions": count_completions(folder),
            "best": best_checkpoints(folder, state.selection),
        },
    )
    return results


class RunObserver:
    """Trainer hooks of a run: progress, trackers, evaluation and validation during training."""

    def __init__(self, context: RunContext, plan: RunPlan, folder: Path, view: View, trackers: Trackers) -> None:
        self.context, self.plan, self.folder, self.view, self.trackers = context, plan, folder, view, trackers

    def on_step(self, metrics: StepMetrics, total: int) -> None:
        """Show and track the metrics of a finished step."""
        self.trackers.step(metrics)
        self.view.step(metrics, total)

    def note(self, text: str) -> None:
        """Show a message."""
        self.view.note(text)

    def on_evaluate(self, trainer: Trainer) -> None:
        """Evaluate on the held-out prompts of every task, and write the evaluation."""
        completions = EvaluatedCompletions()
        results = self.context.evaluate(trainer.policy, self.plan.seed, trainer.generator, completions=completions)
        write_evaluation(self.folder / EVALUATIONS, trainer.state.step, results, completions)

    def on_validate(self, trainer: Trainer) -> dict[str, float]:
        """Validate on the run's tasks, write the validation, and return the accuracy per task."""
        step = trainer.state.step
        results = self.context.validate(trainer.policy, self.plan.order, self.plan.seed, trainer.generator)
        write_evaluation(self.folder / VALIDATIONS, step, results)
        return {task: result.accuracy for task, result in results.items()}


def early_stop_message(state: TrainerState, steps: int) -> str:
    """Return the message for a run that ``evaluation.patience`` stopped."""
    best = state.selection.overall
    best_so_far = f"; best {best.accuracy:.3f} at step {best.step}" if best else ""
    return (
        f"stopped after step {state.step} of {steps}: the mean validation accuracy has not risen for "
        f"{state.selection.waited} validations{best_so_far}"
    )


def best_checkpoints(folder: Path, selection: Selection) -> dict[str, Any]:
    """Return step and accuracy of each kept best checkpoint, by its path relative to the run folder."""
    names = [f"checkpoints/{name}" for name in selection.folders()]
    return {name: read_json(folder / name / BEST) for name in names}


def write_evaluation(
    folder: Path,
    step: int,
    results: Mapping[str, EvalResult] | Mapping[str, Validation],
    completions: EvaluatedCompletions | None = None,
) -> None:
    """Write an evaluation or validation of a run into its folder of evaluations or validations.

    Args:
        folder: the folder.
        step: steps finished.
        results: result per task.
        completions: its completions, written to a file of the same name that ends in ``.jsonl``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if completions is not None:
        completions.save(completions_file(step_file(folder, step)))
    write_json(
        step_file(folder, step), {"step": step, "tasks": {task: asdict(result) for task, result in results.items()}}
    )


def count_completions(folder: Path) -> int:
    """Count the completions sampled for training, from the run's metrics file."""
    steps = map(StepMetrics.from_record, read_json_lines(folder / METRICS))
    return sum(task.completions for step in steps for task in step.tasks.values())
