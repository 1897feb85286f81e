"""The tables of a report in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from omnithinker.report.collect import read_folder
from omnithinker.report.findings import findings
from omnithinker.report.contents import tables
from omnithinker.report.tables import Cell, Table

if TYPE_CHECKING:
    # The study's own module imports torch.
    from omnithinker.study import StageStatus

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
        console.print(to_rich(table))
        if table.note:
            console.print(Text(table.note, style="dim"))
        console.print()
    for sentence in findings(study):
        console.print(Text(f"• {sentence}"))


def to_rich(table: Table) -> RichTable:
    """A table for a rich console."""
    shown = RichTable(title=Text(table.title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    last = len(table.columns) - 1
    for place, heading in enumerate(table.columns):
        words = place < table.labels or (table.words_last and place == last)
        shown.add_column(heading, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for place, row in enumerate(table.rows):
        if len(table.rows) > LISTED_ROWS and place in table.folded:
            if place == table.folded.start:
                shown.add_row("…", style="dim")
            continue
        shown.add_row(*map(_text, row))
    return shown


def _text(cell: Cell) -> Text:
    # Text objects, never markup: what a task or model is called must not change the style.
    text = Text(cell.text, style=STYLES[cell.tone])
    return text.append(f" {cell.small}", style="dim") if cell.small else text


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
