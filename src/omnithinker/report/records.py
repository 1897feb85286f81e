"""The content of a study or run folder as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.io.sft_metrics import SftMetrics
from omnithinker.io.step_metrics import StepMetrics
from omnithinker.types import EvalResult, Validation


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntry:
    """One entry of a study's index ``stages.json``."""

    name: str
    """Name of the stage, such as ``single:math#1``."""
    kind: str
    """Kind of the stage. ``base``, ``single``, ``curriculum`` and ``plan`` have sections of their own."""
    label: str
    """Name in tables and legends; the same for all seeds."""
    folder: str | None = None
    """Name of its run folder; None if it evaluates no model."""
    subject: str = ""
    """Task of a single-task run; ``best``, ``worst`` or an order ``a>b>c`` of a curriculum; otherwise a short name."""
    seed: int | None = None
    """Seed; None in a study with one seed."""
    needs: tuple[str, ...] = ()
    """Stages that must be finished before it."""
    schedule: str | None = None
    """Schedule of its training run; None if it trains nothing."""


@dataclass(frozen=True, slots=True)
class StepEvaluation:
    """Evaluation on held-out items after a training step."""

    step: int
    """Training steps finished."""
    results: Mapping[str, EvalResult]
    """Result per task."""


@dataclass(frozen=True, slots=True)
class StepValidation:
    """Validation after a training step."""

    step: int
    """Training steps finished."""
    results: Mapping[str, Validation]
    """Result per task of the run."""


@dataclass(frozen=True, slots=True)
class BestWeights:
    """Weights kept because a validation was the best so far."""

    step: int
    """Training steps finished."""
    accuracy: float
    """Greedy accuracy on validation items, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training run, or the evaluation of the base model."""

    folder: str
    """Name of its folder; ``.`` if it was read alone."""
    order: tuple[str, ...]
    """Tasks in training order; empty until finished."""
    results: Mapping[str, EvalResult]
    """Final evaluation per task; empty until finished."""
    evaluations: tuple[StepEvaluation, ...]
    """Evaluations during the run, by rising step."""
    validations: tuple[StepValidation, ...]
    """Validations, by rising step; empty without validation items."""
    best: Mapping[str, BestWeights]
    """Weights kept so far: ``best`` by the mean over the run's tasks, ``best-<task>`` by one task."""
    steps: tuple[StepMetrics, ...]
    """Metrics of every step."""
    manifest: Mapping[str, Any]
    """Other fields of the result: seconds, versions, sandbox, completions ..."""

    @property
    def done(self) -> bool:
        """True if the run is finished and evaluated."""
        return bool(self.results)

    @property
    def last_step(self) -> int:
        """Number of training steps."""
        return self.steps[-1].step if self.steps else 0

    @property
    def stopped_early(self) -> bool:
        """True if patience ended the run."""
        return bool(self.manifest.get("stopped_early"))

    @property
    def evaluated_step(self) -> int:
        """Step of the weights in ``results``: the last step, or the best by validation."""
        return int(self.manifest.get("measured_step", self.last_step))

    @property
    def trained_later(self) -> tuple[str, ...]:
        """Tasks whose training began after the evaluated weights; the best weights may be from an earlier phase."""
        trained = {task for step in self.steps for task in step.tasks}
        before = {task for step in self.steps if step.step <= self.evaluated_step for task in step.tasks}
        return tuple(task for task in self.order if task in trained - before)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGroup:
    """One run under one or several seeds."""

    kind: str
    """Kind of its stage."""
    label: str
    """Name in tables and legends."""
    subject: str
    """Subject of its stage."""
    runs: tuple[Run, ...]
    """One run per seed that has a folder; may be empty."""
    expected: int
    """Number of seeds in the recipe."""

    @property
    def done(self) -> tuple[Run, ...]:
        """Finished runs."""
        return tuple(run for run in self.runs if run.done)

    @property
    def order(self) -> tuple[str, ...]:
        """Training order; empty if no run is finished."""
        return next((run.order for run in self.runs if run.order), ())

    @property
    def short_label(self) -> str:
        """Label for narrow terminals."""
        return self.subject or self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The content of a study folder, or of one run folder."""

    folder: Path
    """The folder."""
    tasks: tuple[str, ...]
    """[K] tasks in the recipe's order."""
    recipe: Recipe | None
    """Resolved settings."""
    base: Run | None
    """Evaluation of the base model; None until done."""
    groups: tuple[RunGroup, ...]
    """Training runs, in the order of the study."""
    plan: Mapping[str, Any] | None
    """Content of ``plan.json``; None until done."""
    expected: tuple[str, ...] = ()
    """Kinds of the stages in the index."""
    warmup: tuple[SftMetrics, ...] = ()
    """Metrics of every update of the warm-up that the runs start from; empty without one."""

    @property
    def title(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def runs(self) -> list[Run]:
        """The base evaluation, if done, and every training run that has a folder."""
        return ([self.base] if self.base else []) + [run for group in self.groups for run in group.runs]

    def name_of(self, run: Run) -> str:
        """Return the name of a run in tables: its folder's name."""
        return run.folder if run.folder != "." else self.title

    def of(self, kind: str) -> list[RunGroup]:
        """Return the groups of one kind."""
        return [group for group in self.groups if group.kind == kind]

    @property
    def compared(self) -> list[RunGroup]:
        """Finished groups that train every task."""
        return [group for group in self.groups if group.kind != "single" and group.done]

    @property
    def missing(self) -> list[str]:
        """Labels of the stages that are not finished."""
        missing = [] if self.base or "base" not in self.expected else ["base evaluation"]
        missing += [
            group.label + (f" ({len(group.done)} of {group.expected} seeds)" if group.expected > 1 else "")
            for group in self.groups
            if len(group.done) < group.expected
        ]
        return missing if self.plan or "plan" not in self.expected else [*missing, "plan"]

    @property
    def is_single_run(self) -> bool:
        """True for the folder of one run."""
        return len(self.groups) == 1 and self.groups[0].runs != () and self.groups[0].runs[0].folder == "."
