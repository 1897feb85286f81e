"""Reading data rows from JSON Lines files, and holding rows out for validation."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omnithinker.errors import DataError
from omnithinker.io.files import read_text
from omnithinker.io.parsing import parse_json

Row = dict[str, Any]


def hold_out(
    rows: Sequence[tuple[str, Row]], items: int, seed: str
) -> tuple[list[tuple[str, Row]], list[tuple[str, Row]]]:
    """Sample validation rows from training rows without changing their order.

    Args:
        rows: (place, row) of the training data.
        items: Number of rows to hold out.
        seed: Seed of the sample.

    Returns:
        Remaining training rows, and held-out rows. Duplicates of held-out rows are removed from the training rows.

    Raises:
        DataError: if no training rows would remain.
    """
    chosen = set(random.Random(seed).sample(range(len(rows)), min(items, len(rows))))
    held = [rows[index] for index in sorted(chosen)]
    contents = {json.dumps(row, sort_keys=True) for _, row in held}
    rest = [(place, row) for place, row in rows if not contents or json.dumps(row, sort_keys=True) not in contents]
    if not rest:
        raise DataError(
            f"{rows[0][0]}: evaluation.validation_items = {items} leaves none of the {len(rows)} training rows; "
            "lower it or add rows"
        )
    return rest, held


def _check_characters(row: Row, place: str) -> None:
    """Check that every field can be encoded: neither tokenizers nor files can hold half a character.

    Raises:
        DataError: if a field contains a lone surrogate.
    """
    for name, value in row.items():
        try:
            json.dumps({name: value}, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{place}: field {name!r} contains half a character (\\u{ord(error.object[error.start]):x})"
            ) from error


def read_rows(path: str | Path) -> list[tuple[str, Row]]:
    """Read a JSON Lines file; empty lines are skipped.

    Returns:
        (``file:line``, row) of every row.

    Raises:
        DataError: if the file is missing, has a malformed line, or has no rows.
    """
    path = Path(path)
    rows = []
    # Not splitlines(): JSON strings may contain other characters that it treats as line ends.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except DataError as error:
            raise DataError(f"{path}:{number}: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f'{path}:{number}: expected an object like {{"prompt": ...}}, got {line.strip()[:40]}')
        if "\\u" in line:
            _check_characters(row, f"{path}:{number}")
        rows.append((f"{path}:{number}", row))
    if not rows:
        raise DataError(f"{path}: has no rows")
    return rows
