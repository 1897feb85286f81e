"""Dotted paths into nested rows: ``reward_model.ground_truth``, ``prompt.0.content``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnithinker.errors import DataError


def look_up(row: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path; a number selects an entry of a list. A field of exactly this name wins.

    Raises:
        DataError: if there is none; the message has no place.
    """
    if path in row:
        return row[path]
    value: Any = row
    walked = ""
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise DataError(f"no field {path!r} ({_found(value, walked)})")
        walked = f"{walked}.{part}".strip(".")
    return value


def _found(value: Any, walked: str) -> str:
    """Return what is there instead of the next part of a path."""
    where = f" of {walked!r}" if walked else ""
    if isinstance(value, Mapping):
        return f"fields{where}: {', '.join(map(str, value)) or 'none'}"
    if isinstance(value, list):
        return f"{walked!r} is a list of {len(value)}"
    return f"{walked!r} has no fields"
