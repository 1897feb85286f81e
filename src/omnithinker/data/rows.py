"""Reading rows of a task: JSON lines, one object per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omnithinker.errors import DataError
from omnithinker.files import read_text

Row = dict[str, Any]


def read_rows(path: str | Path) -> list[tuple[str, Row]]:
    """Read a JSON-lines file; empty lines are allowed.

    Returns:
        (``file:line``, row) for every row.

    Raises:
        DataError: the file is missing, has a malformed line, or has no rows.
    """
    path = Path(path)
    rows = []
    # Not splitlines(): JSON strings may hold the other characters that it takes for line ends.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: not valid JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f'{path}:{number}: expected an object like {{"prompt": ...}}, got {line.strip()[:40]}')
        rows.append((f"{path}:{number}", row))
    if not rows:
        raise DataError(f"{path}: has no rows")
    return rows
