"""Reads a study or run folder at any stage of completion. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.errors import DataError
from omnithinker.io.files import read_json, read_json_lines
from omnithinker.io.layout import (
    BEST,
    CHECKPOINTS,
    EVALUATIONS,
    METRICS,
    PLAN,
    RECIPE,
    RESULT,
    STAGES,
    VALIDATIONS,
    WARMUP,
    step_files,
)
from omnithinker.io.results import BestFile, ResultFile, ValidationFile, checked, read_as, read_plan
from omnithinker.io.sft_metrics import SftMetrics
from omnithinker.io.step_metrics import StepMetrics
from omnithinker.report.records import (
    BestWeights,
    Run,
    RunGroup,
    StageEntry,
    StepEvaluation,
    StepValidation,
    Study,
)


def read_folder(folder: Path) -> Study:
    """Read a study folder or a run folder.

    A study folder has an index of its stages. Runs in folders that the index does not list are read too, and named
    after their folders.

    Raises:
        DataError: if it is neither, or one of its files is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder of a study or a run")
    recipe = load_recipe(folder / RECIPE) if (folder / RECIPE).exists() else None
    if (folder / RESULT).exists() or (folder / METRICS).exists():
        return _read_single_run(folder, recipe)
    index = read_index(folder)
    listed = {entry.folder for entry in index} | {WARMUP}
    others = [file.parent.name for file in sorted(folder.glob(f"*/{RESULT}")) if file.parent.name not in listed]
    if recipe is None and not index and not others:
        raise DataError(f"{folder}: contains neither {RECIPE} nor {RESULT}; give the folder of a study or a run")
    index += tuple(StageEntry(name=name, kind="other", label=name, folder=name) for name in others)
    groups = _read_groups(folder, index)
    tasks = tuple(recipe.tasks) if recipe else _common_tasks(groups)
    _check_items(folder, tasks, groups)
    return Study(
        folder=folder,
        tasks=tasks,
        recipe=recipe,
        base=next((run for group in groups if group.kind == "base" for run in group.done), None),
        groups=tuple(group for group in groups if group.kind != "base"),
        plan=_plan(folder, tasks),
        expected=tuple(dict.fromkeys(entry.kind for entry in index)),
        warmup=_warmup(folder),
    )


def _warmup(folder: Path) -> tuple[SftMetrics, ...]:
    """Read the metrics of the warm-up in a study's folder, or in that of a run."""
    file = folder / WARMUP / METRICS
    try:
        return tuple(SftMetrics.from_record(record) for record in read_json_lines(file))
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise DataError(f"{file}: a line does not hold the metrics of an update; remove it") from error


def read_index(folder: Path) -> tuple[StageEntry, ...]:
    """Read the index of a study's stages; empty if there is none. Fields that are not known are ignored.

    Raises:
        DataError: if the file is not such an index.
    """
    file = folder / STAGES
    if not file.exists():
        return ()
    return checked(tuple[StageEntry, ...], read_json(file), str(file), "run omnithinker study to write it again")


def _plan(folder: Path, tasks: Sequence[str]) -> dict[str, Any] | None:
    """Read the plan of a study; None before it is made."""
    file = folder / PLAN
    if not file.exists():
        return None
    plan = read_plan(file)
    if set(plan["tasks"]) != set(tasks):
        raise DataError(f"{file}: the plan of other tasks than {', '.join(tasks)}; remove it, and repeat the study")
    return plan


def _read_single_run(folder: Path, recipe: Recipe | None) -> Study:
    run = _read_run(folder, ".")
    label = str(run.manifest.get("name", folder.resolve().name))
    group = RunGroup(kind="other", label=label, subject="", runs=(run,), expected=1 if run.done else 0)
    tasks = tuple(recipe.tasks) if recipe else _common_tasks([group])
    return Study(
        folder=folder, tasks=tasks, recipe=recipe, base=None, groups=(group,), plan=None, warmup=_warmup(folder)
    )


def _read_groups(folder: Path, index: Sequence[StageEntry]) -> list[RunGroup]:
    """Read the runs of all stages that evaluate a model, seeds of the same run together."""
    members: dict[tuple[str, str], list[StageEntry]] = {}
    for entry in index:
        if entry.folder is not None:
            members.setdefault((entry.kind, entry.label), []).append(entry)
    return [
        RunGroup(
            kind=kind,
            label=label,
            subject=entries[0].subject,
            runs=tuple(
                _read_run(folder / entry.folder, entry.folder)
                for entry in entries
                if entry.folder is not None and (folder / entry.folder).is_dir()
            ),
            expected=len(entries),
        )
        for (kind, label), entries in members.items()
    ]


def _common_tasks(groups: Sequence[RunGroup]) -> tuple[str, ...]:
    """Tasks that every finished run was evaluated on, for folders without a recipe."""
    done = [run.results for group in groups for run in group.done]
    return tuple(task for task in done[0] if all(task in results for results in done)) if done else ()


def _check_items(folder: Path, tasks: Sequence[str], groups: Sequence[RunGroup]) -> None:
    """Check that all finished runs were evaluated on the same items: outcomes are compared item by item.

    Raises:
        DataError: if they were not.
    """
    first: dict[str, tuple[str, int]] = {}
    for run in (run for group in groups for run in group.done):
        for task in tasks:
            items = len(run.results[task].outcomes) if task in run.results else 0
            other, expected = first.setdefault(task, (run.folder, items))
            if items != expected or items == 0:
                raise DataError(
                    f"{folder / run.folder / RESULT}: {items} held-out items of {task}, but {expected} in {other}; "
                    f"the runs of a study must share their items: remove {folder / run.folder} and run it again"
                )


def _read_run(path: Path, name: str) -> Run:
    manifest: dict[str, Any] = {"tasks": {}}
    if (path / RESULT).exists():
        manifest = read_as(ResultFile, path / RESULT, "tasks", advice="remove it, and repeat the run")
    return Run(
        folder=name,
        order=tuple(manifest.get("order", ())),
        results=manifest["tasks"],
        evaluations=_evaluations(path / EVALUATIONS),
        validations=_validations(path / VALIDATIONS),
        best=_best_weights(path, manifest),
        steps=_steps(path / METRICS),
        manifest={key: value for key, value in manifest.items() if key != "tasks"},
    )


def _steps(file: Path) -> tuple[StepMetrics, ...]:
    try:
        return tuple(StepMetrics.from_record(record) for record in read_json_lines(file))
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise DataError(f"{file}: a line does not hold the metrics of a step; remove it") from error


def _evaluations(folder: Path) -> tuple[StepEvaluation, ...]:
    advice = "remove it, or evaluate again"
    values = [read_as(ResultFile, file, "step", advice=advice) for file in step_files(folder)]
    evaluations = [StepEvaluation(value["step"], value.get("tasks", {})) for value in values]
    return tuple(sorted(evaluations, key=lambda evaluation: evaluation.step))


def _validations(folder: Path) -> tuple[StepValidation, ...]:
    values = [read_as(ValidationFile, file, advice="remove it") for file in step_files(folder)]
    validations = [StepValidation(value["step"], value["tasks"]) for value in values]
    return tuple(sorted(validations, key=lambda validation: validation.step))


def _best_weights(path: Path, manifest: Mapping[str, Any]) -> dict[str, BestWeights]:
    """Best weights by folder name: from the result, or from their folders while the run is under way."""
    if "best" in manifest:
        records = manifest["best"]
    else:
        files = (path / CHECKPOINTS).glob(f"best*/{BEST}")
        records = {file.parent.name: read_as(BestFile, file, advice="remove it") for file in files}
    return {Path(name).name: BestWeights(record["step"], record["accuracy"]) for name, record in records.items()}
