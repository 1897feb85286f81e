"""The console shows control characters of texts as escapes, and keeps its own styles."""

from __future__ import annotations

import io

from rich.table import Table
from rich.text import Text

from omnithinker.ui.console import SafeConsole


def printed(renderable, **options) -> str:
    stream = io.StringIO()
    SafeConsole(file=stream, width=60, **options).print(renderable)
    return stream.getvalue()


def test_control_characters_are_escaped():
    assert printed(Text("a\x1b[31mb\x9bc\u202ed\ne f")) == "a\\x1b[31mb\\x9bc\\u202ed\ne f\n"


def test_cells_and_headings_are_too():
    table = Table(box=None)
    table.add_column(Text("head\x1b[2J"))
    table.add_row(Text("[red]\x07\x1b]0;title"))
    shown = printed(table)
    assert "\x1b" not in shown
    assert r"head\x1b[2J" in shown
    assert r"[red]" in shown


def test_styles_remain():
    assert "\x1b[1m" in printed(Text("bold", "bold"), force_terminal=True, color_system="standard")
