"""What went wrong, what was cut off, under which settings and in how much time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.report.collect import Run, Study
from omnithinker.report.tables import MISSING, Cell, Table, number


def runs_table(study: Study) -> Table:
    """One row per run: time, completions, truncated share, undefined rewards by cause."""
    return Table(
        "Every run",
        "Truncated: share of training completions that reached the token limit. Undefined rewards leave the update "
        "and every mean; they are counted here by cause.",
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
        Cell(str(len(run.steps)) if run.steps else "–"),
        Cell(f"{completions:,}") if completions else MISSING,
        Cell(f"{100 * truncated_share(run):.1f} %") if completions else MISSING,
        MISSING if seconds is None else Cell(duration(seconds)),
        Cell(words, tone="bad" if causes or held_out else ""),
    )


def undefined_causes(run: Run) -> Counter[str]:
    """Undefined components during training, by ``task: component, cause``."""
    counts: Counter[str] = Counter()
    for metrics in run.steps:
        for task, of_task in metrics.tasks.items():
            for component, causes in of_task.causes.items():
                counts.update({f"{task}: {component}, {cause}": count for cause, count in causes.items()})
    return counts


def truncated_share(run: Run) -> float:
    """Share of training completions that reached the token limit."""
    known = [task for step in run.steps for task in step.tasks.values() if task.truncated is not None]
    completions = sum(task.completions for task in known)
    return sum((task.truncated or 0.0) * task.completions for task in known) / completions if completions else 0.0


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as far as they matter."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{number(seconds, 1)} s"


def environment(study: Study) -> list[tuple[str, str]]:
    """Versions and confinement, as the result files tell; several where runs differ."""
    found: dict[str, list[str]] = {}
    runs = ([study.base] if study.base else []) + [run for group in study.groups for run in group.done]
    for run in runs:
        facts: dict[str, Any] = {"sandbox": run.manifest.get("sandbox")} | dict(run.manifest.get("versions") or {})
        for name, value in facts.items():
            values = found.setdefault(name, [])
            if value is not None and str(value) not in values:
                values.append(str(value))
    total = sum(run.manifest.get("seconds") or 0 for run in runs)
    shown = [(name, ", ".join(values)) for name, values in found.items() if values]
    return [*shown, ("time, all runs", duration(total))] if runs else shown


def settings(recipe: Recipe) -> list[tuple[str, str]]:
    """Every resolved setting, flat: ``training.learning_rate`` and its value."""
    return list(_flat(recipe.model_dump(mode="json", exclude_none=True), ""))


def _flat(value: Any, prefix: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _flat(child, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, f"{value:g}" if isinstance(value, float) else str(value)
