"""The tables of a report in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from omnithinker.report.collect import read_folder
from omnithinker.report.contents import tables
from omnithinker.report.findings import findings
from omnithinker.report.tables import Cell, Table
from omnithinker.study.status import StageStatus

STYLES = {"": "", "good": "green", "bad": "red", "strong": "bold", "dim": "dim"}
"""Of cells, by tone."""

LISTED_ROWS = 24
"""A table up to this long is shown whole."""


def print_summary(folder: Path, console: Console) -> None:
    """Print the findings and tables of a study or run folder, at any stage of completion.

    Raises:
        DataError: it is no such folder, or a file is damaged.
    """
    study = read_folder(folder)
    for table in tables(study):
        _print(table, console)
        console.print()
    for sentence in findings(study):
        console.print(Text(f"• {sentence}"))


def _print(table: Table, console: Console) -> None:
    shown, note = to_rich(table), table.note
    if _width(shown, console) > console.width:
        shown, note = to_rich(table, is_short=True), f"{note} {table.short_note}".strip()
    # Lines that still do not fit run on in the next line of the terminal rather than being cut.
    shown.width = _width(shown, console)
    console.print(shown, crop=False, soft_wrap=shown.width > console.width)
    if note:
        console.print(Text(note, style="dim"))


def _width(table: RichTable, console: Console) -> int:
    """Characters that a table needs to show every cell in one line."""
    return Measurement.get(console, console.options.update(max_width=1000), table).maximum


def to_rich(table: Table, *, is_short: bool = False) -> RichTable:
    """A table for a rich console.

    Args:
        table: what to show.
        is_short: leave out what is set small, and use short texts.
    """
    shown = RichTable(
        title=Text(table.title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for place, heading in enumerate(table.columns):
        justify: JustifyMethod = "left" if table.is_words(place) else "right"
        shown.add_column(heading, justify=justify, overflow="fold", max_width=44 if table.words_last else None)
    for place, row in enumerate(table.rows):
        if len(table.rows) > LISTED_ROWS and place in table.folded:
            if place == table.folded.start:
                shown.add_row("…", style="dim")
            continue
        shown.add_row(*(_text(cell, is_short) for cell in row))
    return shown


def _text(cell: Cell, is_short: bool) -> Text:
    # Text objects, never markup: what a task or model is called must not change the style.
    text = Text((is_short and cell.short) or cell.text, style=STYLES[cell.tone])
    return text.append(f" {cell.small}", style="dim") if cell.small and not is_short else text


def status_table(statuses: Sequence[StageStatus]) -> RichTable:
    """Stages of a study with their state, steps and greedy accuracies."""
    tasks = list(dict.fromkeys(task for status in statuses for task in status.accuracies))
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("stage", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("steps", *tasks):
        table.add_column(heading, justify="right")
    styles = {"done": "green", "running": "yellow", "waiting": "dim"}
    for status in statuses:
        table.add_row(
            Text(status.stage.name),
            Text(status.state, style=styles[status.state]),
            str(status.step) if status.step else "–",
            *(f"{status.accuracies[task]:.3f}" if task in status.accuracies else "–" for task in tasks),
        )
    return table


def dry_run_table(rows: Sequence[Mapping[str, Any]]) -> RichTable:
    """What the stages of a study would cost, with totals of those that are still to run."""
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True)
    todo = [row for row in rows if not row["done"]]
    measures = {"prompts": "prompts", "steps": "steps", "completions": "completions", "most_tokens": "tokens, at most"}
    table.add_column("stage", "to run", no_wrap=True)
    table.add_column("state", "")
    for key, heading in measures.items():
        table.add_column(heading, f"{sum(row[key] for row in todo):,}", justify="right")
    for row in rows:
        cells = [f"{row[key]:,}" if row[key] else "–" for key in measures]
        table.add_row(
            Text(row["stage"]), "done" if row["done"] else "to run", *cells, style="dim" if row["done"] else ""
        )
    return table
