"""Values of tables as JSON data: rows are written to logs, compared and passed to other processes."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Mapping
from typing import Any

from omnithinker.data.rows import Row
from omnithinker.errors import DataError

PANDAS_INDEX = "__index_level_0__"
"""Column in which pandas stores its row numbers."""


def plain_row(row: Mapping[str, Any], place: str) -> Row:
    """Return a row of JSON data.

    Dates become ISO 8601 texts, decimal numbers become texts, and NaN becomes null, as pandas writes missing numbers.

    Raises:
        DataError: if a value is an image or other binary data, or infinite; the message names the field.
    """
    return {name: _plain(value, place, name) for name, value in row.items() if name != PANDAS_INDEX}


def _plain(value: Any, place: str, field: str) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise DataError(f"{place}: field {field!r} is infinite; remove the row")
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {str(key): _plain(entry, place, f"{field}.{key}") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, place, f"{field}.{index}") for index, entry in enumerate(value)]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    kind = "binary data" if isinstance(value, bytes) else type(value).__name__
    raise DataError(
        f"{place}: field {field!r} holds {kind}; remove the column; texts, numbers, lists and objects can be used"
    )
