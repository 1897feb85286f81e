"""Data rows, and holding rows out for tests and validation."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from omnithinker.errors import DataError

Row = dict[str, Any]


def hold_out(
    rows: Sequence[tuple[str, Row]], items: int, seed: str, setting: str
) -> tuple[list[tuple[str, Row]], list[tuple[str, Row]]]:
    """Sample held-out rows from training rows without changing their order.

    Args:
        rows: (place, row) of the training data.
        items: Number of rows to hold out.
        seed: Seed of the sample.
        setting: Name of the setting that says how many, for messages.

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
            f"{rows[0][0]}: {setting} = {items} leaves none of the {len(rows)} training rows; lower it or add rows"
        )
    return rest, held
