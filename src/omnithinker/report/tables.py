"""What each table of a report says, once; a terminal and a page show the same tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from omnithinker.report.collect import RunGroup, Study
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

Tone = Literal["", "good", "bad", "strong", "dim"]
"""How a cell is meant: a clear gain, a clear loss, emphasised, or secondary."""

SHOWN_BEST, SHOWN_WORST = 5, 3
"""Orders of the plan that are always shown; those between are folded."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of a table."""

    text: str
    """Main text."""
    small: str = ""
    """Set smaller beside it, such as a standard error."""
    tone: Tone = ""
    """How it is meant."""
    heat: float | None = None
    """In [-1, 1]: colour on a diverging scale centred at 0."""
    short: str = ""
    """Used instead of ``text`` where there is little room."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its headings; the first ``labels`` columns are words, the others numbers."""

    title: str
    """What it shows."""
    note: str
    """How to read it; may be empty."""
    columns: tuple[str, ...]
    """Headings."""
    rows: tuple[tuple[Cell, ...], ...]
    """Entries, one per column."""
    labels: int = 1
    """Leading columns that hold words."""
    folded: range = range(0)
    """Rows that may be folded away."""
    axes: tuple[str, str] | None = None
    """For a matrix: what rows and columns are."""
    words_last: bool = False
    """True when the last column holds words too."""
    short_note: str = ""
    """Explains the short texts."""

    def is_words(self, column: int) -> bool:
        """True for a column that holds words."""
        return column < self.labels or (self.words_last and column == len(self.columns) - 1)

    @property
    def is_crowded(self) -> bool:
        """True when what is set small is long, because it tells the spread over seeds too."""
        return any("(" in cell.small for row in self.rows for cell in row)

    def longest(self, column: int) -> int:
        """Characters of the longest entry of a column, heading included."""
        return max(len(self.columns[column]), *(len(row[column].text) for row in self.rows))


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number with a true minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def error_text(each: Estimate, digits: int = 3) -> str:
    """``± standard error``, and in parentheses the spread over seeds where there are several."""
    text = f"± {number(each.error, digits)}" if math.isfinite(each.error) else ""
    return text if each.spread is None else f"{text} ({number(each.spread, digits)})"


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def percent(share: float) -> str:
    """A share in words that never claim certainty."""
    if share >= 0.995:
        return "over 99 %"
    return "under 1 %" if share < 0.005 else f"{100 * share:.0f} %"


def level_cell(each: Estimate) -> Cell:
    """An accuracy."""
    return Cell(number(each.value), error_text(each))


def change_cell(each: Estimate) -> Cell:
    """A difference; coloured when clear of two standard errors."""
    tone: Tone = ("good" if each.value > 0 else "bad") if each.is_clear else ""
    return Cell(number(each.value, sign=True), error_text(each), tone)


def _seeds_note(study: Study) -> str:
    several = any(len(group.done) > 1 for group in study.groups)
    return " In parentheses: standard deviation over seeds; differences count it too." if several else ""


def _weights_note(study: Study) -> str:
    """Which weights were measured, where it is not those of the last step."""
    chosen = study.recipe is not None and study.recipe.evaluation.result == "best"
    return " Every run is measured with the weights that did best on validation items." if chosen else ""


MISSING = Cell("–", tone="dim")
"""Not measured yet."""


def base_table(study: Study) -> Table | None:
    """Base accuracy and single-task gain on the own task; None before the base evaluation."""
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
        "Base model, and each task trained alone",
        "Greedy accuracy on held-out items ± standard error. The gain compares the same items before and after."
        + _weights_note(study)
        + _seeds_note(study),
        ("task", "items", "base", "after own training", "gain"),
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
    """Eq. 6; None before the first single-task run."""
    matrix = transfer(study)
    if matrix is None:
        return None
    note = (
        "log(accuracy after ÷ accuracy before), in nats: +0.10 is about 10 % more right answers, −0.10 about 10 % "
        "fewer. The diagonal is the task's own gain."
    )
    return _matrix_table(study, matrix, "Transfer", note, 3)


def entropy_table(study: Study) -> Table | None:
    """Eq. 12; None before the first single-task run."""
    matrix = entropy_matrix(study)
    if matrix is None:
        return None
    note = (
        "Relative change of token entropy on sampled completions: −0.30 means 30 % less varied, "
        "0 means as varied as the base model."
    )
    return _matrix_table(study, matrix, "Entropy change", note, 2)


def plan_marks(plan: Mapping[str, Any], order: Sequence[str]) -> str:
    """Which method chose an order."""
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
    """All listed orders with predictions; None before the plan."""
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
            row.append(MISSING if share is None else Cell(percent(share)))
        rows.append(tuple(row))
    fold = range(SHOWN_BEST, max(len(rows) - SHOWN_WORST, SHOWN_BEST))
    return Table(
        f"Predicted accuracy after each order ({len(rows)} orders, best first)",
        "Delta_rel is the mean over tasks of log(predicted ÷ base), in nats; the last column says in how many "
        "resamples of the test items the order comes first. A prediction above 1 is marked with “!”."
        if certain
        else "Delta_rel is the mean over tasks of log(predicted ÷ base), in nats.",
        ("#", "order", "", *study.tasks, "delta_rel", *["leads in"] * certain),
        tuple(rows),
        labels=3,
        folded=fold if len(fold) > 2 else range(0),
        short_note="c chosen, w worst, g greedy, f forgettability.",
    )


def _predicted_cell(value: float | None) -> Cell:
    return Cell(number(value) + ("!" if value is not None and value > 1 else ""))


def prediction_for(study: Study, order: Sequence[str]) -> Mapping[str, Any] | None:
    """The plan's entry for an order, if it lists it."""
    if study.plan is None:
        return None
    listed = [*study.plan["ranking"], *(study.plan.get("worst_ranking") or ())]
    found: Mapping[str, Any] | None = next((r for r in listed if r["order"] == list(order) and r["predicted"]), None)
    return found


def outcome_table(study: Study) -> Table | None:
    """Predicted and measured accuracy of every run over all tasks; None while there is none."""
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
        "What came out: accuracy after training on all tasks",
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
    """Paired differences between the first run over all tasks and everything it is compared with."""
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
        "Differences, item by item",
        "Accuracy of the first minus the second on the same items ± standard error of the paired difference; coloured "
        "when larger than two standard errors.",
        ("comparison", *study.tasks, "mean"),
        tuple(rows),
    )


def final_table(study: Study) -> Table | None:
    """For the folder of one run: evaluation at the end, by task."""
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
        "On held-out items ± standard error; entropy (nats per token) and length (tokens) are of sampled completions."
        + _weights_note(study),
        ("task", "items", "greedy", "sampled", "entropy", "length"),
        rows,
    )
