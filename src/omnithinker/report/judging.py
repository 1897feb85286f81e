"""Usage and cost of judges, and preference and answer length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from omnithinker.io.step_metrics import Number, mean_defined
from omnithinker.report.records import Run, Study
from omnithinker.report.tables import MISSING, Cell, Table, number
from omnithinker.types import CANDIDATE_CHARS, REFERENCE_CHARS

COUNTS = ("calls", "cached", "retries")
LENGTH_METRICS = ("longer", "preferred_longer", "preferred_not_longer", "length_correlation")


def judges_table(study: Study) -> Table | None:
    """One row per run and judge: calls, tokens, cost, failures; None if no judge was called."""
    rows = []
    for run in study.runs:
        for judge, usage in judges_of(run).items():
            failed = ", ".join(f"{cause} {count}" for cause, count in sorted(usage.get("failures", {}).items()))
            rows.append(
                (
                    Cell(study.name_of(run)),
                    Cell(judge, small=str(usage.get("model", ""))),
                    *(Cell(f"{usage.get(name, 0):,}") for name in COUNTS),
                    Cell(f"{usage.get('prompt_tokens', 0) + usage.get('completion_tokens', 0):,}"),
                    Cell(f"{usage.get('cost', 0):.4g}"),
                    Cell(failed or "none", tone="bad" if failed else ""),
                )
            )
    note = "Calls: requests answered by the endpoint. Cost: at the prices in the recipe."
    columns = ("run", "judge", "calls", "from cache", "retries", "tokens", "cost", "failures")
    return Table("Judges", note, columns, tuple(rows), labels=2, words_last=True) if rows else None


def judges_of(run: Run) -> dict[str, dict[str, Any]]:
    """Return the usage of each judge: from the result or, while the run is under way, from its last step."""
    if "judges" in run.manifest:
        return dict(run.manifest["judges"])
    return {judge: asdict(usage) for judge, usage in run.steps[-1].judges.items()} if run.steps else {}


def lengths_table(study: Study) -> Table | None:
    """Preference and length in the first and last fifth of each run's steps; None if nothing was compared."""
    rows = []
    for run in study.runs:
        for task, component in _comparing_components(run):
            records = (step.tasks[task].judged.get(component, {}) for step in run.steps if task in step.tasks)
            steps = [record for record in records if record.get(CANDIDATE_CHARS) is not None]
            fifth = max(1, len(steps) // 5)
            for part, chosen in (("first", steps[:fifth]), ("last", steps[-fifth:])):
                lengths = [_mean(chosen, name) for name in (CANDIDATE_CHARS, REFERENCE_CHARS)]
                rows.append(
                    (
                        Cell(study.name_of(run)),
                        Cell(f"{task}, {part} fifth"),
                        *(_cell(length, 0) for length in lengths),
                        *(_cell(_mean(chosen, name), 2) for name in LENGTH_METRICS),
                    )
                )
    note = (
        "Mean characters of the answers and of their references; share of answers longer than the reference; mean "
        "preference for those and for the others; correlation of preference with the difference in length. Growing "
        "answers together with a preference for longer ones suggest that the judge rewards length."
    )
    columns = ("run", "task", "answer", "reference", "longer", "preferred if longer", "if not", "correlation")
    return Table("Preference and length", note, columns, tuple(rows), labels=2) if rows else None


def _comparing_components(run: Run) -> dict[tuple[str, str], None]:
    """Tasks and components of a run that compare two texts."""
    return dict.fromkeys(
        (task, component) for step in run.steps for task, of_task in step.tasks.items() for component in of_task.judged
    )


def _mean(steps: Sequence[Mapping[str, Number]], name: str) -> Number:
    return mean_defined(step.get(name) for step in steps)


def _cell(value: Number, digits: int) -> Cell:
    return MISSING if value is None else Cell(number(value, digits))
