"""Reads a study or run folder at any stage of completion. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
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
from omnithinker.types import EvalResult, Validation


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
        plan=_read_plan(folder / PLAN) if (folder / PLAN).exists() else None,
        expected=tuple(dict.fromkeys(entry.kind for entry in index)),
        warmup=_warmup(folder),
    )


def _warmup(folder: Path) -> tuple[SftMetrics, ...]:
    """Read the metrics of the warm-up in a study's folder, or in that of a run."""
    file = folder / WARMUP / METRICS
    try:
        return tuple(SftMetrics.from_record(record) for record in read_json_lines(file))
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{file}: a line does not hold the metrics of an update; remove it") from error


def _read_plan(file: Path) -> dict[str, Any]:
    plan = read_json(file)
    if not isinstance(plan, dict) or not {"tasks", "bwt", "order", "ranking"} <= set(plan):
        raise DataError(f"{file}: not a plan; remove it, and repeat the study, which writes it again")
    return plan


def read_index(folder: Path) -> tuple[StageEntry, ...]:
    """Read the index of a study's stages; empty if there is none. Fields that are not known are ignored.

    Raises:
        DataError: if the file is not such an index.
    """
    file = folder / STAGES
    if not file.exists():
        return ()
    known = {field.name for field in fields(StageEntry)}
    try:
        entries = [{key: value for key, value in entry.items() if key in known} for entry in read_json(file)]
        return tuple(StageEntry(**entry | {"needs": tuple(entry.get("needs", ()))}) for entry in entries)
    except (TypeError, AttributeError) as error:
        raise DataError(f"{file}: not an index of stages ({error}); run omnithinker study to write it again") from error


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
    manifest: Any = read_json(path / RESULT) if (path / RESULT).exists() else {"tasks": {}}
    if not isinstance(manifest, dict) or "tasks" not in manifest:
        raise DataError(f"{path / RESULT}: not the result of a run; remove it, and repeat the run")
    return Run(
        folder=name,
        order=tuple(manifest.get("order", ())),
        results=_results(manifest, path / RESULT),
        evaluations=_evaluations(path / EVALUATIONS),
        validations=_validations(path / VALIDATIONS),
        best=_best_weights(path, manifest),
        steps=_steps(path / METRICS),
        manifest={key: value for key, value in manifest.items() if key != "tasks"},
    )


def _steps(file: Path) -> tuple[StepMetrics, ...]:
    try:
        return tuple(StepMetrics.from_record(record) for record in read_json_lines(file))
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{file}: a line does not hold the metrics of a step; remove it") from error


def _evaluations(folder: Path) -> tuple[StepEvaluation, ...]:
    evaluations = []
    for file in step_files(folder):
        value = read_json(file)
        if not isinstance(value, dict) or not isinstance(value.get("step"), int):
            raise DataError(f"{file}: not an evaluation; remove it, or evaluate again")
        evaluations.append(StepEvaluation(value["step"], _results(value, file)))
    return tuple(sorted(evaluations, key=lambda evaluation: evaluation.step))


def _validations(folder: Path) -> tuple[StepValidation, ...]:
    validations = []
    for file in step_files(folder):
        value = read_json(file)
        try:
            results = {task: Validation(**result) for task, result in value["tasks"].items()}
            validations.append(StepValidation(int(value["step"]), results))
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise DataError(f"{file}: not a validation; remove it") from error
    return tuple(sorted(validations, key=lambda validation: validation.step))


def _best_weights(path: Path, manifest: Mapping[str, Any]) -> dict[str, BestWeights]:
    """Best weights by folder name: from the result, or from their folders while the run is under way."""
    files = (path / CHECKPOINTS).glob(f"best*/{BEST}")
    records = manifest["best"] if "best" in manifest else {file.parent.name: read_json(file) for file in files}
    try:
        return {Path(name).name: BestWeights(**record) for name, record in records.items()}
    except (TypeError, AttributeError) as error:
        raise DataError(f"{path}: best weights without step and accuracy ({error})") from error


def _results(manifest: Mapping[str, Any], file: Path) -> dict[str, EvalResult]:
    """Evaluations per task of a file; fields that are not known are ignored."""
    known = {field.name for field in fields(EvalResult)}
    try:
        return {
            task: EvalResult(**{key: value for key, value in result.items() if key in known})
            for task, result in manifest.get("tasks", {}).items()
        }
    except (TypeError, AttributeError) as error:
        raise DataError(f"{file}: not the result of an evaluation ({error}); remove it, or run it again") from error
