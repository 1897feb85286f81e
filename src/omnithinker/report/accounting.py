"""Truncation, undefined rewards, time, versions and settings of the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.planning.percent import percent
from omnithinker.report.records import Run, Study
from omnithinker.report.tables import MISSING, Cell, Table, number


def runs_table(study: Study) -> Table:
    """One row per run: steps, completions, truncated share, time, undefined rewards by cause."""
    return Table(
        "All runs",
        "Truncated: share of training completions that reached the token limit. Undefined rewards are excluded from "
        "the update and from all means; here they are counted by task, component and cause.",
        ("run", "steps", "completions", "truncated", "time", "undefined rewards"),
        tuple(_row(run, study) for run in study.runs),
        words_last=True,
    )


def _row(run: Run, study: Study) -> tuple[Cell, ...]:
    completions = sum(task.completions for step in run.steps for task in step.tasks.values())
    causes = undefined_causes(run)
    words = ", ".join(f"{name} {count}" for name, count in causes.most_common()) or "none"
    held_out = sum(result.undefined for result in run.results.values())
    if held_out:
        words += f"; {held_out} in the final evaluation"
    seconds = run.manifest.get("seconds")
    return (
        Cell(study.name_of(run)),
        Cell(str(len(run.steps))) if run.steps else MISSING,
        Cell(f"{completions:,}") if completions else MISSING,
        Cell(percent(truncated_share(run), 1)) if completions else MISSING,
        MISSING if seconds is None else Cell(duration(seconds)),
        Cell(words, tone="bad" if causes or held_out else ""),
    )


def undefined_causes(run: Run) -> Counter[str]:
    """Count the undefined components of a run by ``task: component, cause``."""
    counts: Counter[str] = Counter()
    for metrics in run.steps:
        for task, of_task in metrics.tasks.items():
            for component, causes in of_task.causes.items():
                counts.update({f"{task}: {component}, {cause}": count for cause, count in causes.items()})
    return counts


def truncated_share(run: Run) -> float:
    """Return the share of training completions that reached the token limit."""
    tasks = [task for step in run.steps for task in step.tasks.values()]
    known = [(task.truncated, task.completions) for task in tasks if task.truncated is not None]
    completions = sum(count for _, count in known)
    return sum(share * count for share, count in known) / completions if completions else 0.0


def duration(seconds: float) -> str:
    """Format seconds as hours, minutes and seconds with two units at most."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{number(seconds, 1)} s"


def environment(study: Study) -> list[tuple[str, str]]:
    """Return versions, sandbox level and total time from the results; several values where runs differ."""
    facts: dict[str, list[str]] = {}
    runs = ([study.base] if study.base else []) + [run for group in study.groups for run in group.done]
    for run in runs:
        of_run: dict[str, Any] = {"sandbox": run.manifest.get("sandbox")} | dict(run.manifest.get("versions") or {})
        for name, value in of_run.items():
            values = facts.setdefault(name, [])
            if value is not None and str(value) not in values:
                values.append(str(value))
    total = sum(run.manifest.get("seconds") or 0 for run in runs)
    shown = [(name, ", ".join(values)) for name, values in facts.items() if values]
    return [*shown, ("time, all runs", duration(total))] if runs else shown


def settings(recipe: Recipe) -> list[tuple[str, str]]:
    """Return every resolved setting by its path, such as ``training.learning_rate``."""
    return list(_flat(recipe.model_dump(mode="json", exclude_none=True), ""))


def _flat(value: Any, prefix: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _flat(child, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, f"{value:g}" if isinstance(value, float) else str(value)
