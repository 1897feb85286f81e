"""Reads a study or run folder, however far it has come, into frozen records. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.errors import DataError
from omnithinker.io.files import read_json, read_json_lines
from omnithinker.io.step_metrics import StepMetrics
from omnithinker.study.stages import list_stages
from omnithinker.train.best import BEST_FILE, Best
from omnithinker.types import EvalResult, Validation

Kind = Literal["base", "single", "curriculum", "joint", "other"]
"""What a run trained; ``other`` is a baseline this package has no chapter for."""


@dataclass(frozen=True, slots=True)
class Check:
    """One evaluation during or after training."""

    step: int
    """Training steps finished."""
    results: Mapping[str, EvalResult]
    """By task."""


@dataclass(frozen=True, slots=True)
class ValidationCheck:
    """One look at the validation items."""

    step: int
    """Training steps finished."""
    results: Mapping[str, Validation]
    """By task of the run."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training run (or the base evaluation) as its folder tells it."""

    kind: Kind
    """What it trained."""
    subject: str
    """Task of a single-task run; ``best``, ``worst`` or an order ``a>b>c`` of a curriculum; otherwise a name."""
    seed: int | None
    """Seed, where several were run."""
    folder: str
    """Name of its folder."""
    order: tuple[str, ...]
    """Tasks in training order; empty until finished."""
    results: Mapping[str, EvalResult]
    """Evaluation at the end, by task; empty until finished."""
    checks: tuple[Check, ...]
    """Evaluations along the way, by rising step."""
    validations: tuple[ValidationCheck, ...]
    """Validations, by rising step; empty where there are no validation items."""
    kept: Mapping[str, Best]
    """Weights kept as best so far: ``best`` by the mean over the run's tasks, ``best-<task>`` by a task."""
    steps: tuple[StepMetrics, ...]
    """Metrics of every step, from metrics.jsonl."""
    manifest: Mapping[str, Any]
    """The rest of result.json: seconds, versions, sandbox, completions ..."""

    @property
    def done(self) -> bool:
        """True when the run is finished and evaluated."""
        return bool(self.results)

    @property
    def last_step(self) -> int:
        """Training steps taken."""
        return self.steps[-1].step if self.steps else 0

    @property
    def stopped_early(self) -> bool:
        """True when patience ended it."""
        return bool(self.manifest.get("stopped_early"))

    @property
    def measured_step(self) -> int:
        """The step whose weights ``results`` are of: the last, or the best by validation."""
        return int(self.manifest.get("measured_step", self.last_step))

    @property
    def trained_later(self) -> tuple[str, ...]:
        """Tasks of its order that it began to train after the measured weights: the best may be of an earlier phase."""
        trained = {task for step in self.steps for task in step.tasks}
        before = {task for step in self.steps if step.step <= self.measured_step for task in step.tasks}
        return tuple(task for task in self.order if task in trained - before)


@dataclass(frozen=True, slots=True)
class RunGroup:
    """The same run under one or several seeds."""

    kind: Kind
    """What they trained."""
    subject: str
    """As in :class:`Run`."""
    runs: tuple[Run, ...]
    """One per seed that has been started; may be empty."""
    expected: int
    """Seeds the recipe asks for."""

    @property
    def done(self) -> tuple[Run, ...]:
        """Finished runs."""
        return tuple(run for run in self.runs if run.done)

    @property
    def order(self) -> tuple[str, ...]:
        """Training order, as far as it is known."""
        return next((run.order for run in self.runs if run.order), ())

    @property
    def label(self) -> str:
        """Short name for tables and legends."""
        match self.kind:
            case "single":
                return f"{self.subject} alone"
            case "curriculum" if self.subject in ("best", "worst"):
                return f"curriculum, {self.subject} order"
            case "curriculum":
                return "curriculum " + self.subject.replace(">", " > ")
            case "joint":
                return "joint training"
            case _:
                return self.subject

    @property
    def short_label(self) -> str:
        """For narrow terminals."""
        return {"single": self.subject, "curriculum": self.subject, "joint": "joint"}.get(self.kind, self.subject)


@dataclass(frozen=True, slots=True)
class Study:
    """Everything a folder holds."""

    folder: Path
    """Where it was read from."""
    title: str
    """Name of the folder."""
    tasks: tuple[str, ...]
    """[K] in the recipe's order."""
    recipe: Recipe | None
    """Resolved settings."""
    base: Run | None
    """Evaluation of the base model, once done."""
    groups: tuple[RunGroup, ...]
    """Training runs, in the order in which a study runs them."""
    plan: Mapping[str, Any] | None
    """plan.json."""

    @property
    def runs(self) -> list[Run]:
        """The base evaluation, if done, and every training run that has been started."""
        return ([self.base] if self.base else []) + [run for group in self.groups for run in group.runs]

    def name_of(self, run: Run) -> str:
        """What a run is called in tables: its folder's name."""
        return run.folder if run.folder != "." else self.title

    def of(self, kind: Kind) -> list[RunGroup]:
        """Groups of one kind."""
        return [group for group in self.groups if group.kind == kind]

    @property
    def compared(self) -> list[RunGroup]:
        """Finished groups that train every task: what a study compares at the end."""
        return [group for group in self.groups if group.kind != "single" and group.done]

    @property
    def missing(self) -> list[str]:
        """Parts that are not there yet, in words."""
        if self.recipe is None or self.is_single_run:
            return []
        found = [] if self.base else ["base evaluation"]
        found += [
            group.label + (f" ({len(group.done)} of {group.expected} seeds)" if group.expected > 1 else "")
            for group in self.groups
            if len(group.done) < group.expected
        ]
        return found if self.plan else [*found, "plan"]

    @property
    def is_single_run(self) -> bool:
        """True for the folder of one run."""
        return len(self.groups) == 1 and self.groups[0].runs != () and self.groups[0].runs[0].folder == "."


def read_folder(folder: Path) -> Study:
    """Read a study folder or a run folder.

    Raises:
        DataError: it is neither, or one of its files is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder of a study or a run")
    file = folder / "recipe.toml"
    recipe = load_recipe(file) if file.exists() else None
    if (folder / "result.json").exists() or (folder / "metrics.jsonl").exists():
        return _single_run(folder, recipe)
    known = {name for name, *_ in _expected(recipe)} if recipe else set()
    others = sorted(path.parent for path in folder.glob("*/result.json") if path.parent.name not in known)
    if recipe is None and not others:
        raise DataError(f"{folder}: holds neither recipe.toml nor result.json; give the folder of a study or a run")
    groups = _groups(folder, recipe, others)
    bases = [run for group in groups if group.kind == "base" for run in group.done]
    tasks = tuple(recipe.tasks) if recipe else _tasks(groups)
    _check_items(folder, tasks, groups)
    plan = folder / "plan.json"
    return Study(
        folder=folder,
        title=folder.resolve().name,
        tasks=tasks,
        recipe=recipe,
        base=bases[0] if bases else None,
        groups=tuple(group for group in groups if group.kind != "base"),
        plan=read_json(plan) if plan.exists() else None,
    )


def _single_run(folder: Path, recipe: Recipe | None) -> Study:
    run = _run(folder, "other", folder.resolve().name, None, ".")
    group = RunGroup("other", str(run.manifest.get("name", run.subject)), (run,), 1)
    tasks = tuple(recipe.tasks) if recipe else _tasks([group])
    return Study(folder, folder.resolve().name, tasks, recipe, None, (group,), None)


def _tasks(groups: Sequence[RunGroup]) -> tuple[str, ...]:
    """Tasks that every finished run was evaluated on, when there is no recipe to say."""
    done = [run.results for group in groups for run in group.done]
    return tuple(task for task in done[0] if all(task in results for results in done)) if done else ()


def _check_items(folder: Path, tasks: Sequence[str], groups: Sequence[RunGroup]) -> None:
    """Outcomes are compared item by item, so all finished runs must have met the same items.

    Raises:
        DataError: they have not.
    """
    seen: dict[str, tuple[str, int]] = {}
    for run in (run for group in groups for run in group.done):
        for task in tasks:
            items = len(run.results[task].outcomes) if task in run.results else 0
            other, wanted = seen.setdefault(task, (run.folder, items))
            if items != wanted or items == 0:
                raise DataError(
                    f"{folder / run.folder / 'result.json'}: {items} held-out items of {task}, but {wanted} in "
                    f"{other}; runs of one study must share their items: remove the folder and run it again"
                )


def _expected(recipe: Recipe) -> list[tuple[str, Kind, str, int | None]]:
    """Folder, kind, subject and seed of every stage that evaluates a model."""
    many = len(recipe.study.seeds) > 1
    found: list[tuple[str, Kind, str, int | None]] = []
    for stage in list_stages(recipe):
        if stage.evaluates:
            kinds: dict[str, Kind] = {"base": "base", "single": "single", "curriculum": "curriculum"}
            kind, subject = kinds.get(stage.kind, "other"), stage.subject
            if subject == "joint":
                kind, subject = "joint", ""
            found.append((stage.folder(Path()).name, kind, subject, stage.seed if many else None))
    return found


def _groups(folder: Path, recipe: Recipe | None, others: Sequence[Path]) -> list[RunGroup]:
    wanted = _expected(recipe) if recipe else []
    wanted += [(path.name, *_guess(path.name)) for path in others]
    members: dict[tuple[Kind, str], list[tuple[str, int | None]]] = {}
    for name, kind, subject, seed in wanted:
        members.setdefault((kind, subject), []).append((name, seed))
    return [
        RunGroup(
            kind,
            subject,
            tuple(_run(folder / name, kind, subject, seed, name) for name, seed in placed if (folder / name).is_dir()),
            len(placed),
        )
        for (kind, subject), placed in members.items()
    ]


def _guess(name: str) -> tuple[Kind, str, int | None]:
    """What a folder that no recipe announces holds, by its name."""
    seeded = re.fullmatch(r"(.*)-seed(\d+)", name)
    stem, seed = (seeded[1], int(seeded[2])) if seeded else (name, None)
    kind, _, subject = stem.partition("-")
    if kind in ("single", "curriculum") and subject:
        return ("single" if kind == "single" else "curriculum"), subject, seed
    if stem in ("base", "joint"):
        return ("base" if stem == "base" else "joint"), "", seed
    return "other", stem, seed


def _run(path: Path, kind: Kind, subject: str, seed: int | None, name: str) -> Run:
    manifest: dict[str, Any] = read_json(path / "result.json") if (path / "result.json").exists() else {}
    checks = [_check(file) for file in (path / "eval").glob("step-*.json")]
    return Run(
        kind=kind,
        subject=subject,
        seed=seed,
        folder=name,
        order=tuple(manifest.get("order", ())),
        results=_results(manifest, path / "result.json"),
        checks=tuple(sorted(checks, key=lambda check: check.step)),
        validations=_validations(path / "validation"),
        kept=_kept(path, manifest),
        steps=_steps(path / "metrics.jsonl"),
        manifest={key: value for key, value in manifest.items() if key != "tasks"},
    )


def _steps(file: Path) -> tuple[StepMetrics, ...]:
    try:
        return tuple(StepMetrics.from_record(record) for record in read_json_lines(file))
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{file}: a line does not hold the metrics of a step; remove it") from error


def _check(file: Path) -> Check:
    value = read_json(file)
    if not isinstance(value, dict) or not isinstance(value.get("step"), int):
        raise DataError(f"{file}: not an evaluation; remove it, or evaluate again")
    return Check(value["step"], _results(value, file))


def _validations(folder: Path) -> tuple[ValidationCheck, ...]:
    found = []
    for file in folder.glob("step-*.json"):
        value = read_json(file)
        try:
            results = {task: Validation(**result) for task, result in value["tasks"].items()}
            found.append(ValidationCheck(int(value["step"]), results))
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise DataError(f"{file}: not a validation; remove it") from error
    return tuple(sorted(found, key=lambda check: check.step))


def _kept(path: Path, manifest: Mapping[str, Any]) -> dict[str, Best]:
    """From the result, which outlives removed checkpoints; while a run is under way, from the folders themselves."""
    files = (path / "checkpoints").glob(f"best*/{BEST_FILE}")
    found = manifest["best"] if "best" in manifest else {file.parent.name: read_json(file) for file in files}
    try:
        return {Path(name).name: Best(**best) for name, best in found.items()}
    except (TypeError, AttributeError) as error:
        raise DataError(f"{path}: best weights without step and accuracy ({error})") from error


def _results(manifest: Mapping[str, Any], file: Path) -> dict[str, EvalResult]:
    """Evaluations of a file; fields that a later version may add are passed over."""
    known = {field.name for field in fields(EvalResult)}
    try:
        return {
            task: EvalResult(**{key: value for key, value in result.items() if key in known})
            for task, result in manifest.get("tasks", {}).items()
        }
    except (TypeError, AttributeError) as error:
        raise DataError(f"{file}: not the result of an evaluation ({error}); remove it, or run it again") from error
