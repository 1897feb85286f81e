"""One recipe made ready to run: tasks, prompts, rewards; and the runs that use them.

A *run* trains one policy along one schedule into one folder; everything it learns is written there, and a run that
was stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from omnithinker.config.recipe import Recipe
from omnithinker.evals.evaluate import evaluate, validate
from omnithinker.io.files import make_folder, read_json, read_json_lines, remove_leftovers, write_json, write_text
from omnithinker.io.runlog import versions
from omnithinker.io.trackers import Trackers, require
from omnithinker.policy.base import Policy
from omnithinker.policy.loading import load_policy
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.runner import Scorer
from omnithinker.schedules.adaptive import AdaptiveSchedule
from omnithinker.schedules.fixed import (
    Batch,
    FixedSchedule,
    Schedule,
    curriculum_schedule,
    joint_schedule,
    mixture_schedule,
)
from omnithinker.study.stages import RESULT, read_results
from omnithinker.tasks.base import Split, encode_prompts, load_tasks
from omnithinker.train.best import BEST_FILE, Selection
from omnithinker.train.checkpoint import TrainerState
from omnithinker.train.metrics import StepMetrics
from omnithinker.train.trainer import train
from omnithinker.types import EvalResult, Prompt, Validation
from omnithinker.ui.view import View

LEDGER = "judges.jsonl"
"""What the judges of a run did and what it cost, a line for each change."""


ScheduleKind = Literal["curriculum", "joint", "mixture", "adaptive"]
"""How the tasks of a run follow each other."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a training run trains."""

    name: str
    """Shown to the user."""
    schedule: ScheduleKind
    """Single-task training is a curriculum of one."""
    order: tuple[str, ...]
    """Tasks, in training order where there is one."""
    seed: int
    """Fixes data order and samples."""


class Experiment:
    """A recipe with everything that its runs share. Close it, or use it in a ``with`` block.

    Args:
        recipe: all settings.
        view: told what goes on.
        base: the base model, if it is at hand; else it is loaded.

    Raises:
        BadInput: a file, row, model or confinement layer that the recipe needs is not there.
    """

    def __init__(self, recipe: Recipe, view: View, base: Policy | None = None) -> None:
        require(recipe.trackers)
        self.recipe = recipe
        self.view = view
        self.base = base or load_policy(recipe.model)
        self.resources = Resources(recipe)
        try:
            self.tasks = load_tasks(recipe, self.resources)
        except BaseException:
            self.resources.close()
            raise
        if level := self.resources.sandbox_level():
            view.note(f"sandbox: {level}")
        components = {name: task.components for name, task in self.tasks.items()}
        resources = self.resources
        self.scorer = Scorer(components, ledger=resources.ledger, progress=resources.progress)

    def close(self) -> None:
        """Stop verifiers, sandboxes and scoring threads."""
        self.scorer.close()
        self.resources.close()

    def __enter__(self) -> Experiment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def train_prompts(self) -> dict[str, list[Prompt]]:
        """Per task, the training prompts that are short enough."""
        return self._prompts("train")

    @cached_property
    def test_prompts(self) -> dict[str, list[Prompt]]:
        """Per task, the held-out prompts that are short enough."""
        return self._prompts("test")

    @cached_property
    def validation_prompts(self) -> dict[str, list[Prompt]]:
        """Per task, the prompts to choose checkpoints by that are short enough."""
        return self._prompts("validation")

    def schedule(self, plan: RunPlan) -> Schedule:
        """Which prompts form which step of a run."""
        if plan.schedule != "adaptive":
            return FixedSchedule(self.batches(plan))
        training = self.recipe.training
        return AdaptiveSchedule(
            sizes=self._sizes(plan),
            shares=self._shares(plan),
            settings=self.recipe.adaptive,
            prompts_per_step=training.prompts_per_step,
            epochs=training.epochs,
            seed=plan.seed,
            max_steps=training.max_steps,
        )

    def batches(self, plan: RunPlan) -> list[Batch]:
        """The batches of a run whose schedule is known before it starts: any but ``adaptive``."""
        training, sizes = self.recipe.training, self._sizes(plan)
        prompts, epochs, seed = training.prompts_per_step, training.epochs, plan.seed
        match plan.schedule:
            case "joint":
                found = joint_schedule(sizes, prompts_per_step=prompts, epochs=epochs, seed=seed)
            case "mixture":
                found = mixture_schedule(sizes, self._shares(plan), prompts_per_step=prompts, epochs=epochs, seed=seed)
            case _:
                found = curriculum_schedule(sizes, plan.order, prompts_per_step=prompts, epochs=epochs, seed=seed)
        return found[: training.max_steps]

    def _sizes(self, plan: RunPlan) -> dict[str, int]:
        return {task: len(self.train_prompts[task]) for task in plan.order}

    def _shares(self, plan: RunPlan) -> dict[str, float]:
        return {task: self.recipe.tasks[task].share for task in plan.order}

    def evaluate(self, policy: Policy, seed: int) -> dict[str, EvalResult]:
        """Measure a policy on every task."""
        return evaluate(policy, self.test_prompts, self.scorer, self.recipe, seed=seed)

    def evaluate_base(self) -> dict[str, EvalResult]:
        """Measure the base model on every task."""
        results = self.evaluate(self.base, self.recipe.seed)
        if self.base.compiled:
            self.base.compiled.release()  # it stays at hand, and draws no more
        return results

    def validate(self, policy: Policy, plan: RunPlan) -> dict[str, Validation]:
        """Accuracy of a policy on the validation items of a run's tasks."""
        prompts = {task: self.validation_prompts[task] for task in plan.order}
        return validate(policy, prompts, self.scorer, self.recipe, seed=plan.seed)

    def run(self, plan: RunPlan, folder: Path) -> dict[str, EvalResult]:
        """Train, evaluate, and write the result; a finished run is only read.

        Returns:
            Evaluation of the trained policy on every task of the recipe.
        """
        if (folder / RESULT).exists():
            return read_results(folder / RESULT)
        remove_leftovers(make_folder(folder))
        write_text(folder / "recipe.toml", self.recipe.to_toml())
        trackers = Trackers(self.recipe, folder, self.view.note)
        try:
            with self.resources.ledger.of_run(folder / LEDGER):
                return self._run(plan, folder, trackers)
        finally:
            trackers.close()

    def _run(self, plan: RunPlan, folder: Path, trackers: Trackers) -> dict[str, EvalResult]:
        schedule = self.schedule(plan)
        started = time.monotonic()
        self.view.start_run(plan.name, len(schedule))
        policy, state = train(
            self.recipe,
            self.train_prompts,
            schedule,
            self.scorer,
            folder,
            _RunObserver(self, folder, plan, trackers),
            seed=plan.seed,
        )
        if state.step < len(schedule):
            self.view.note(stopped_early(state, len(schedule)))
        measured = state.step
        if self.recipe.evaluation.result == "best" and state.selection.overall:
            measured = state.selection.overall.step
            policy = load_policy(self.recipe.model, folder / "checkpoints" / "best")
        self.view.note(f"measuring step {measured} on held-out items")
        results = self.evaluate(policy, plan.seed)
        trackers.result(state.step, {task: dataclasses.asdict(result) for task, result in results.items()})
        write_evaluation(folder / "eval" / f"step-{measured}.json", measured, results)
        write_json(
            folder / RESULT,
            self.manifest(plan.name, results, time.monotonic() - started)
            | {
                "schedule": plan.schedule,
                "order": list(plan.order),
                "seed": plan.seed,
                "steps": state.step,
                "stopped_early": state.step < len(schedule),
                "measured_step": measured,
                "completions": completions_drawn(folder),
                "best": best_checkpoints(folder, state.selection),
            },
        )
        return results

    def manifest(self, name: str, results: Mapping[str, EvalResult], seconds: float) -> dict[str, Any]:
        """What every result file holds. ``seconds`` counts the last start only, when a run was interrupted."""
        return {
            "name": name,
            "seconds": round(seconds, 2),
            "versions": versions(),
            "sandbox": self.resources.sandbox_level(),
            "judges": self.resources.ledger.record(),
            "recipe": self.recipe.digest(),
            "tasks": {task: dataclasses.asdict(result) for task, result in results.items()},
        }

    def _prompts(self, split: Split) -> dict[str, list[Prompt]]:
        sampling = self.recipe.sampling
        limit = sampling.max_prompt_tokens

        def encode(text: str, system: str | None) -> tuple[int, ...] | None:
            return self.base.tokenizer.encode_within(text, system, limit, sampling.overlong_prompts)

        found = {}
        for name, task in self.tasks.items():
            found[name], skipped = encode_prompts(task, getattr(task, split), encode)
            if skipped:
                self.view.note(
                    f"task {name}: left out {skipped} of {skipped + len(found[name])} {split} prompts longer than "
                    f"{limit} tokens (sampling.max_prompt_tokens)"
                )
        return found


class _RunObserver:
    """Shows steps and evaluates during training."""

    def __init__(self, experiment: Experiment, folder: Path, plan: RunPlan, trackers: Trackers) -> None:
        self.experiment, self.folder, self.plan, self.trackers = experiment, folder, plan, trackers

    def on_step(self, metrics: StepMetrics, total: int) -> None:
        self.trackers.step(metrics.record())
        self.experiment.view.step(metrics, total)

    def note(self, text: str) -> None:
        self.experiment.view.note(text)

    def on_evaluate(self, policy: Policy, step: int) -> None:
        results = self.experiment.evaluate(policy, self.plan.seed)
        write_evaluation(self.folder / "eval" / f"step-{step}.json", step, results)

    def on_validate(self, policy: Policy, step: int) -> dict[str, float]:
        results = self.experiment.validate(policy, self.plan)
        write_evaluation(self.folder / "validation" / f"step-{step}.json", step, results)
        return {task: result.accuracy for task, result in results.items()}


def stopped_early(state: TrainerState, steps: int) -> str:
    """What the user is told when patience has ended a run."""
    best = state.selection.overall
    found = f"; best {best.accuracy:.3f} at step {best.step}" if best else ""
    return (
        f"stopped after step {state.step} of {steps}: the mean accuracy on validation items has not risen for "
        f"{state.selection.waited} validations{found}"
    )


def best_checkpoints(folder: Path, selection: Selection) -> dict[str, Any]:
    """Folders of best weights, relative to the run's, with step and accuracy as they tell them."""
    names = [f"checkpoints/{name}" for name in selection.folders()]
    return {name: read_json(folder / name / BEST_FILE) for name in names}


def write_evaluation(path: Path, step: int, results: Mapping[str, EvalResult] | Mapping[str, Validation]) -> None:
    """Write ``eval/step-N.json`` or ``validation/step-N.json`` of a run folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"step": step, "tasks": {task: dataclasses.asdict(r) for task, r in results.items()}})


def completions_drawn(folder: Path) -> int:
    """Completions of all steps of a run, by its log."""
    return sum(
        value
        for record in read_json_lines(folder / "metrics.jsonl")
        for name, value in record.items()
        if name.startswith("task/") and name.count("/") == 2 and name.endswith("/completions")
    )


def single(task: str, seed: int) -> RunPlan:
    """Single-task training."""
    return RunPlan(f"single-task {task}", "curriculum", (task,), seed)


def curriculum(order: Sequence[str], seed: int) -> RunPlan:
    """Curriculum training in an order."""
    return RunPlan("curriculum " + " > ".join(order), "curriculum", tuple(order), seed)


def together(schedule: Literal["joint", "mixture", "adaptive"], tasks: Sequence[str], seed: int) -> RunPlan:
    """Training of all tasks at a time: uniformly mixed, by their shares, or by shares that move."""
    return RunPlan(schedule, schedule, tuple(tasks), seed)
