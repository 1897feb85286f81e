"""Rows of MBPP, full (``text``) or sanitized (``prompt``): a task and a list of assert statements."""

from __future__ import annotations

from omnithinker.data.formats.base import RowFormat, text_of, texts_of
from omnithinker.data.rows import Row


def read(row: Row) -> Row:
    """Return the row with ``prompt``, ``tests``, ``solution`` and ``example``.

    The tests are the assert statements, each after the row's imports. ``example`` is the first assert statement, which
    shows the name and the arguments of the function.
    """
    asserts = texts_of(row, "test_list")
    imports = texts_of(row, "test_imports") if row.get("test_imports") else []
    setup = "\n".join([*imports, text_of(row, "test_setup_code") if row.get("test_setup_code") else ""]).strip()
    tests = [f"{setup}\n{line}" if setup else line for line in asserts]
    solution = {"solution": row["code"]} if isinstance(row.get("code"), str) else {}
    return {**row, "prompt": text_of(row, "text", "prompt"), "tests": tests, "example": asserts[0]} | solution


FORMAT = RowFormat(read, prompt="{prompt}\nYour code should pass this test:\n{example}")
