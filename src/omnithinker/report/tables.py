"""Content of the report's tables, shared by the page and the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from omnithinker.planning.percent import cautious_percent
from omnithinker.report.measures import (
    Estimate,
    Floats,
    accuracy,
    delta_rel,
    entropy_matrix,
    gain,
    mean_accuracy,
    mean_gain,
    singles,
    transfer,
)
from omnithinker.report.records import RunGroup, Study

Tone = Literal["", "good", "bad", "strong", "dim"]
"""Meaning of a cell: clear gain, clear loss, emphasised, or secondary."""

SHOWN_BEST, SHOWN_WORST = 5, 3
"""Orders of the plan that are always shown; the others are folded."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of a table."""

    text: str
    """Main text."""
    small: str = ""
    """Smaller text beside it, such as a standard error."""
    tone: Tone = ""
    """Meaning."""
    heat: float | None = None
    """In [-1, 1]: colour on a diverging scale centred at 0."""
    short: str = ""
    """Replaces ``text`` in narrow terminals."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with headings; the first ``labels`` columns hold words, the others numbers."""

    title: str
    """Title."""
    note: str
    """Explanation; may be empty."""
    columns: tuple[str, ...]
    """Headings."""
    rows: tuple[tuple[Cell, ...], ...]
    """Entries, one per column."""
    labels: int = 1
    """Leading columns that hold words."""
    folded: range = range(0)
    """Rows that may be folded."""
    axes: tuple[str, str] | None = None
    """Meaning of rows and columns, for a matrix."""
    words_last: bool = False
    """True if the last column holds words too."""
    short_note: str = ""
    """Explanation of the short texts."""

    def is_words(self, column: int) -> bool:
        """Return True for a column that holds words."""
        return column < self.labels or (self.words_last and column == len(self.columns) - 1)

    @property
    def is_crowded(self) -> bool:
        """True if the small texts are long, because they include the spread over seeds."""
        return any("(" in cell.small for row in self.rows for cell in row)

    def longest(self, column: int) -> int:
        """Return the length of the longest entry of a column, heading included."""
        return max(len(self.columns[column]), *(len(row[column].text) for row in self.rows))


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """Format a number with a true minus sign; a dash if it is None or not finite."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def error_text(each: Estimate, digits: int = 3) -> str:
    """Format ``± standard error``, followed by the spread over several seeds in parentheses."""
    text = f"± {number(each.error, digits)}" if math.isfinite(each.error) else ""
    return text if each.spread is None else f"{text} ({number(each.spread, digits)})"


def listed(names: Sequence[str]) -> str:
    """Join names: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def level_cell(each: Estimate) -> Cell:
    """Return the cell of an accuracy."""
    return Cell(number(each.value), error_text(each))


def change_cell(each: Estimate) -> Cell:
    """Return the cell of a difference, coloured if larger than two standard errors."""
    tone: Tone = ("good" if each.value > 0 else "bad") if each.is_clear else ""
    return Cell(number(each.value, sign=True), error_text(each), tone)


def _seeds_note(study: Study) -> str:
    several = any(len(group.done) > 1 for group in study.groups)
    return " In parentheses: standard deviation over seeds, which the errors of differences include." if several else ""


def _weights_note(study: Study) -> str:
    """Explanation of the evaluated weights, if they are not those of the last step."""
    chosen = study.recipe is not None and study.recipe.evaluation.result == "best"
    return " Every run is evaluated with its best weights on validation items." if chosen else ""


MISSING = Cell("–", tone="dim")
"""Cell of a missing number."""


def base_table(study: Study) -> Table | None:
    """Base accuracy and single-task gain per task; None before the base evaluation."""
    if study.base is None:
        return None
    done, base, rows = singles(study), study.base, []
    for task in study.tasks:
        row = [Cell(task), Cell(str(base.results[task].n)), level_cell(accuracy([base], task))]
        if task in done:
            runs = done[task].done
            row += [level_cell(accuracy(runs, task)), change_cell(gain(runs, [base], task))]
        else:
            row += [MISSING, MISSING]
        rows.append(tuple(row))
    return Table(
        "Base model and single-task training",
        "Greedy accuracy on held-out items ± standard error. The gain is paired by item."
        + _weights_note(study)
        + _seeds_note(study),
        ("task", "items", "base", "after training", "gain"),
        tuple(rows),
    )


def _matrix_table(study: Study, matrix: Floats, title: str, note: str, digits: int) -> Table:
    limit = max((abs(float(value)) for value in matrix.flat if math.isfinite(value)), default=0.0) or 1.0
    rows = []
    for i, task in enumerate(study.tasks):
        values = map(float, matrix[i])
        cells = [Cell(number(v, digits, sign=True), heat=v / limit) if math.isfinite(v) else MISSING for v in values]
        rows.append((Cell(task), *cells))
    columns = ("evaluated on ↓ trained on →", *study.tasks)
    return Table(title, note, columns, tuple(rows), axes=("evaluated on", "trained on"))


def transfer_table(study: Study) -> Table | None:
    """Transfer matrix of Eq. 6; None before the first single-task run."""
    matrix = transfer(study)
    if matrix is None:
        return None
    note = (
        "log(accuracy after ÷ accuracy before), in nats: +0.10 means about 10% more correct answers, −0.10 about 10% "
        "fewer. The diagonal is the gain on the trained task."
    )
    return _matrix_table(study, matrix, "Transfer", note, 3)


def entropy_table(study: Study) -> Table | None:
    """Entropy matrix of Eq. 12; None before the first single-task run, or without entropies."""
    matrix = entropy_matrix(study)
    if matrix is None:
        return None
    note = (
        "Relative change of token entropy on sampled completions: −0.30 means 30% less entropy than the base model. "
        "– where entropy was not recorded."
    )
    return _matrix_table(study, matrix, "Entropy change", note, 2)


def plan_marks(plan: Mapping[str, Any], order: Sequence[str]) -> str:
    """Return the methods that chose an order."""
    names = [
        label
        for key, label in (
            ("order", "chosen"),
            ("worst", "worst"),
            ("greedy", "greedy"),
            ("forgettability", "forgettability"),
        )
        if list(plan.get(key) or ()) == list(order)
    ]
    return ", ".join(names)


def plan_table(study: Study) -> Table | None:
    """Orders of the plan with predictions; None before the plan."""
    if study.plan is None:
        return None
    plan, ranking = study.plan, list(study.plan["ranking"])
    certain = any("probability" in ranked for ranked in ranking)
    rows = []
    for place, ranked in enumerate(ranking, start=1):
        marks = plan_marks(plan, ranked["order"])
        tone: Tone = "strong" if marks else ""
        row = [
            Cell(str(place)),
            Cell(" > ".join(ranked["order"]), tone=tone, short=">".join(ranked["order"])),
            Cell(marks, short="".join(mark[0] for mark in marks.split(", ") if mark)),
        ]
        predicted = ranked["predicted"] or {}
        row += [_predicted_cell(predicted.get(task)) for task in study.tasks]
        row.append(Cell(number(ranked["delta_rel"], sign=True), tone="strong"))
        if certain:
            share = ranked.get("probability")
            row.append(MISSING if share is None else Cell(cautious_percent(share)))
        rows.append(tuple(row))
    fold = range(SHOWN_BEST, max(len(rows) - SHOWN_WORST, SHOWN_BEST))
    return Table(
        f"Predicted accuracy after each order ({len(rows)} orders, best first)",
        "Delta_rel is the mean over tasks of log(predicted ÷ base), in nats; best in: share of resamples of the test "
        "items in which the order is the best. Predictions above 1 are marked with “!”."
        if certain
        else "Delta_rel is the mean over tasks of log(predicted ÷ base), in nats.",
        ("#", "order", "", *study.tasks, "delta_rel", *["best in"] * certain),
        tuple(rows),
        labels=3,
        folded=fold if len(fold) > 2 else range(0),
        short_note="c chosen, w worst, g greedy, f forgettability.",
    )


def _predicted_cell(value: float | None) -> Cell:
    return Cell(number(value) + ("!" if value is not None and value > 1 else ""))


def prediction_for(study: Study, order: Sequence[str]) -> Mapping[str, Any] | None:
    """Return the plan's entry for an order; None if the plan does not list it."""
    if study.plan is None:
        return None
    listed: list[Mapping[str, Any]] = [*study.plan["ranking"], *(study.plan.get("worst_ranking") or ())]
    return next((ranked for ranked in listed if ranked["order"] == list(order) and ranked["predicted"]), None)


def outcome_table(study: Study) -> Table | None:
    """Predicted and measured accuracy of every run on all tasks; None if no such run is finished."""
    if not study.compared:
        return None
    rows = []
    if study.base:
        base = [study.base]
        cells = [level_cell(accuracy(base, task)) for task in study.tasks]
        rows.append((Cell("base model"), Cell(""), *cells, level_cell(mean_accuracy(study, base)), MISSING))
    for group in study.compared:
        predicted = prediction_for(study, group.order) if group.kind == "curriculum" else None
        if predicted:
            values = [predicted["predicted"][task] for task in study.tasks]
            rows.append(
                (
                    Cell(group.label, short=group.short_label),
                    Cell("predicted", tone="dim"),
                    *map(_predicted_cell, values),
                    Cell(number(fmean(values))),
                    Cell(number(predicted["delta_rel"], sign=True)),
                )
            )
        rows.append(_measured_row(study, group, is_first=not predicted))
    return Table(
        "Accuracy after training on all tasks",
        "Greedy accuracy on the same held-out items ± standard error." + _weights_note(study) + _seeds_note(study),
        ("run", "", *study.tasks, "mean", "delta_rel"),
        tuple(rows),
        labels=2,
    )


def _measured_row(study: Study, group: RunGroup, *, is_first: bool) -> tuple[Cell, ...]:
    runs = group.done
    mean, relative = mean_accuracy(study, runs), delta_rel(study, runs)
    return (
        Cell(group.label, short=group.short_label) if is_first else Cell(""),
        Cell("measured"),
        *(level_cell(accuracy(runs, task)) for task in study.tasks),
        Cell(number(mean.value), error_text(mean), "strong"),
        MISSING if relative is None else Cell(number(relative.value, sign=True), error_text(relative)),
    )


def difference_table(study: Study) -> Table | None:
    """Paired differences between the first run on all tasks and the other runs; None if there is nothing to compare."""
    if not study.compared:
        return None
    first = study.compared[0]
    others = [(group.label, group.short_label, group.done) for group in study.compared[1:]]
    if study.base:
        others.append(("base model", "base", (study.base,)))
    if not others:
        return None
    rows = [
        (
            Cell(f"{first.label} − {label}", short=f"{first.short_label} − {label_short}"),
            *(change_cell(gain(first.done, runs, task)) for task in study.tasks),
            change_cell(mean_gain(study, first.done, runs)),
        )
        for label, label_short, runs in others
    ]
    return Table(
        "Paired differences",
        "Accuracy of the first minus that of the second run, paired by item, ± standard error; coloured if larger than "
        "two standard errors.",
        ("comparison", *study.tasks, "mean"),
        tuple(rows),
    )


def final_table(study: Study) -> Table | None:
    """Final evaluation per task, for the folder of one run; None until done."""
    run = study.groups[0].runs[0]
    if not run.done:
        return None
    rows = tuple(
        (
            Cell(task),
            Cell(str(result.n)),
            Cell(number(result.accuracy), error_text(Estimate(result.accuracy, result.standard_error))),
            Cell(number(result.sampled_accuracy), f"± {number(result.sampled_standard_error)}"),
            Cell(number(result.entropy)),
            Cell(number(result.length, 1)),
        )
        for task, result in run.results.items()
    )
    return Table(
        "Accuracy after the run",
        "On held-out items ± standard error. Entropy (nats per token) and length (tokens): of sampled completions."
        + _weights_note(study),
        ("task", "items", "greedy", "sampled", "entropy", "length"),
        rows,
    )
