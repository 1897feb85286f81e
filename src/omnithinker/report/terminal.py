"""Tables in a terminal: those of a report, and those of ``omnithinker study``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich import box
from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from omnithinker.report.collect import read_folder
from omnithinker.report.contents import tables
from omnithinker.report.findings import findings
from omnithinker.report.tables import Cell, Table

STYLES = {"": "", "good": "green", "bad": "red", "strong": "bold", "dim": "dim"}
"""Styles of cells, by tone."""

UNFOLDED_ROWS = 24
"""Tables of up to this many rows are shown in full."""


def print_summary(folder: Path, console: Console) -> None:
    """Print the findings and tables of a study or run folder, at any stage of completion.

    Raises:
        DataError: if it is no such folder, or a file is damaged.
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
    # Lines that still do not fit are wrapped by the terminal rather than cut.
    shown.width = _width(shown, console)
    console.print(shown, crop=False, soft_wrap=shown.width > console.width)
    if note:
        console.print(Text(note, style="dim"))


def _width(table: RichTable, console: Console) -> int:
    """Characters that a table needs to show every cell on one line."""
    return Measurement.get(console, console.options.update(max_width=1000), table).maximum


def to_rich(table: Table, *, is_short: bool = False) -> RichTable:
    """Convert a table for a rich console.

    Args:
        table: the table.
        is_short: leave out small text and use short texts.
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
        shown.add_column(Text(heading), justify=justify, overflow="fold", max_width=44 if table.words_last else None)
    for place, row in enumerate(table.rows):
        if len(table.rows) > UNFOLDED_ROWS and place in table.folded:
            if place == table.folded.start:
                shown.add_row("…", style="dim")
            continue
        shown.add_row(*(_text(cell, is_short) for cell in row))
    return shown


def _text(cell: Cell, is_short: bool) -> Text:
    # Text objects, never markup: the names of tasks and models must not change the style.
    text = Text((is_short and cell.short) or cell.text, style=STYLES[cell.tone])
    return text.append(f" {cell.small}", style="dim") if cell.small and not is_short else text


class Named(Protocol):
    """A stage."""

    @property
    def name(self) -> str:
        """Name for ``--stage``."""
        ...


class StageProgress(Protocol):
    """Progress of one stage of a study."""

    @property
    def stage(self) -> Named:
        """The stage."""
        ...

    @property
    def state(self) -> str:
        """``done``, ``running`` or ``waiting``."""
        ...

    @property
    def step(self) -> int:
        """Training steps finished."""
        ...

    @property
    def accuracies(self) -> Mapping[str, float]:
        """Greedy accuracy per task; empty until done."""
        ...


def status_table(stages: Sequence[StageProgress]) -> RichTable:
    """Return the stages of a study with their state, steps and greedy accuracies."""
    tasks = list(dict.fromkeys(task for progress in stages for task in progress.accuracies))
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("stage", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("steps", *tasks):
        table.add_column(Text(heading), justify="right")
    styles = {"done": "green", "running": "yellow", "waiting": "dim"}
    for progress in stages:
        accuracies = progress.accuracies
        table.add_row(
            Text(progress.stage.name),
            Text(progress.state, style=styles[progress.state]),
            str(progress.step) if progress.step else "–",
            *(f"{accuracies[task]:.3f}" if task in accuracies else "–" for task in tasks),
        )
    return table


def dry_run_table(rows: Sequence[Mapping[str, Any]]) -> RichTable:
    """Return the cost of every stage of a study, with totals of those that are not done."""
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True)
    remaining = [row for row in rows if not row["done"]]
    columns = {"prompts": "prompts", "steps": "steps", "completions": "completions", "most_tokens": "tokens, at most"}
    table.add_column("stage", "to run", no_wrap=True)
    table.add_column("state", "")
    for key, heading in columns.items():
        table.add_column(heading, f"{sum(row[key] for row in remaining):,}", justify="right")
    for row in rows:
        cells = [f"{row[key]:,}" if row[key] else "–" for key in columns]
        table.add_row(
            Text(row["stage"]), "done" if row["done"] else "to run", *cells, style="dim" if row["done"] else ""
        )
    return table
