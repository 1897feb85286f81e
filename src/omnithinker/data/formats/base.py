"""Protocol of row formats, and reading of fields with messages that name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omnithinker.data.rows import Row
from omnithinker.errors import DataError
from omnithinker.io.parsing import json_type

WITH_OPTIONS = "{question}\n{options_text}"
"""Template for questions with options."""


@dataclass(frozen=True, slots=True)
class RowFormat:
    """A row shape that tasks name with ``format``."""

    read: Callable[[Row], Row]
    """Pure function from a row as it is to a row with the fields that prompts and rewards read. Raises DataError
    without a place."""
    prompt: str = "{prompt}"
    """Template of the user message unless the task has one."""


def text_of(row: Mapping[str, Any], *names: str) -> str:
    """Return the text in the first of some fields that the row has.

    Raises:
        DataError: if the row has none of them, or it is not text.
    """
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        known = ", ".join(map(str, row)) or "none"
        raise DataError(f"no field {' or '.join(map(repr, names))} (fields: {known})")
    value = row[name]
    if not isinstance(value, str):
        raise DataError(f"field {name!r} must be text, got {json_type(value)}")
    return value


def texts_of(row: Mapping[str, Any], name: str) -> list[str]:
    """Return a field that is a list of texts.

    Raises:
        DataError: if it is missing or something else.
    """
    value = row.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(entry, str) for entry in value):
        raise DataError(f"field {name!r} must be a list of texts, got {json_type(value)}")
    return value


def labelled(options: Sequence[str], labels: Sequence[str], label: str, field: str) -> str:
    """Return the option with a label.

    Raises:
        DataError: if there are more labels than options or the reverse, or none is the label.
    """
    if len(options) != len(labels):
        raise DataError(f"{len(options)} options have {len(labels)} labels")
    if label not in labels:
        raise DataError(f"field {field!r}: no option is labelled {label!r} (labels: {', '.join(labels)})")
    return options[list(labels).index(label)]
