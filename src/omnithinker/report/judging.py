"""What judges did and cost, and whether they like long answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from omnithinker.io.step_metrics import Number, mean_defined
from omnithinker.report.collect import Run, Study
from omnithinker.report.tables import MISSING, Cell, Table, number
from omnithinker.types import CANDIDATE_CHARS, REFERENCE_CHARS


def judges_table(study: Study) -> Table | None:
    """One row per run and judge: calls, tokens, money, failures; None where no judge behind an endpoint was asked."""
    rows = []
    for run in study.runs:
        for judge, used in judges_of(run).items():
            failed = ", ".join(f"{cause} {count}" for cause, count in sorted(used.get("failures", {}).items()))
            rows.append(
                (
                    Cell(study.name_of(run)),
                    Cell(judge, small=str(used.get("model", ""))),
                    *(Cell(f"{used.get(name, 0):,}") for name in ("calls", "cached", "retries")),
                    Cell(f"{used.get('prompt_tokens', 0) + used.get('completion_tokens', 0):,}"),
                    Cell(f"{used.get('cost', 0):.4g}"),
                    Cell(failed or "none", tone="bad" if failed else ""),
                )
            )
    note = "Calls that an endpoint answered, and replies taken from the cache. Cost by the prices in the recipe."
    columns = ("run", "judge", "calls", "from cache", "retries", "tokens", "cost", "failures")
    return Table("Judges", note, columns, tuple(rows), labels=2, words_last=True) if rows else None


def judges_of(run: Run) -> dict[str, dict[str, Any]]:
    """What each judge did in a run: from its result or, while it is under way, from its last step."""
    if "judges" in run.manifest:
        return dict(run.manifest["judges"])
    return {judge: dataclasses.asdict(usage) for judge, usage in run.steps[-1].judges.items()} if run.steps else {}


LENGTH_MEASURES = ("longer", "preferred_longer", "preferred_not_longer", "length_correlation")


def lengths_table(study: Study) -> Table | None:
    """Preference beside length, in the first and last fifth of each run's steps; None where nothing was compared."""
    rows = []
    for run in study.runs:
        for task, component in _compared(run):
            records = (step.tasks[task].judged.get(component, {}) for step in run.steps if task in step.tasks)
            steps = [record for record in records if record.get(CANDIDATE_CHARS) is not None]
            few = max(1, len(steps) // 5)
            for part, chosen in (("first", steps[:few]), ("last", steps[-few:])):
                means = [_mean(chosen, measure) for measure in LENGTH_MEASURES]
                rows.append(
                    (
                        Cell(study.name_of(run)),
                        Cell(f"{task}, {part} fifth"),
                        *(_cell(_mean(chosen, each), 0) for each in (CANDIDATE_CHARS, REFERENCE_CHARS)),
                        *(_cell(mean, 2) for mean in means),
                    )
                )
    note = (
        "Characters of the answers and of the references they were compared with; the share of answers that were "
        "longer; the mean preference for those and for the others; and its correlation with the difference in length. "
        "Answers that grow while longer ones are preferred point to a judge that is won by length."
    )
    columns = ("run", "task", "answer", "reference", "longer", "preferred if longer", "if not", "correlation")
    return Table("Preference and length", note, columns, tuple(rows), labels=2) if rows else None


def _compared(run: Run) -> dict[tuple[str, str], None]:
    """Tasks and components of a run that compared texts."""
    return dict.fromkeys(
        (task, component) for step in run.steps for task, of_task in step.tasks.items() for component in of_task.judged
    )


def _mean(steps: Sequence[Mapping[str, Number]], name: str) -> Number:
    return mean_defined(step.get(name) for step in steps)


def _cell(value: Number, digits: int) -> Cell:
    return MISSING if value is None else Cell(number(value, digits))
