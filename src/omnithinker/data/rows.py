"""Reading rows of a task: JSON lines, one object per line."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omnithinker.errors import DataError
from omnithinker.io.files import read_text

Row = dict[str, Any]


def hold_out(
    rows: Sequence[tuple[str, Row]], items: int, seed: str
) -> tuple[list[tuple[str, Row]], list[tuple[str, Row]]]:
    """Draw rows to validate with out of training rows; both lists keep the order of the rows.

    Args:
        rows: (place, row) of the training data.
        items: rows to draw.
        seed: fixes the draw.

    Returns:
        What remains for training, and the rows drawn. A row that equals one of these does not remain.

    Raises:
        DataError: nothing would remain.
    """
    chosen = set(random.Random(seed).sample(range(len(rows)), min(items, len(rows))))
    held = [rows[index] for index in sorted(chosen)]
    contents = {json.dumps(row, sort_keys=True) for _, row in held}
    rest = [(place, row) for place, row in rows if not contents or json.dumps(row, sort_keys=True) not in contents]
    if not rest:
        raise DataError(
            f"{rows[0][0]}: {len(rows)} training rows, of which evaluation.validation_items = {items} leave none; "
            "lower it, or add rows"
        )
    return rest, held


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
