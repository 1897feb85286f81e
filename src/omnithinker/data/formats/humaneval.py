"""Rows of HumanEval: the head of a function to complete, and a function ``check`` that tests it."""

from __future__ import annotations

from omnithinker.data.formats.base import RowFormat, text_of
from omnithinker.data.rows import Row


def read(row: Row) -> Row:
    """Return the row with ``tests``; ``canonical_solution`` continues ``prompt``."""
    tests = {"test": text_of(row, "test"), "entry_point": text_of(row, "entry_point")}
    return {**row, "prompt": text_of(row, "prompt"), "tests": tests}


FORMAT = RowFormat(read, prompt="Complete this function, and write it as a whole:\n\n```python\n{prompt}\n```")
