"""Row fields that a reward requires, checked when data are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from omnithinker.errors import DataError
from omnithinker.io.parsing import json_type

_TYPE_NAMES = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class RowField:
    """A required field of a data row."""

    names: tuple[str, ...]
    """Accepted names; the first one present in the row counts."""
    types: tuple[type, ...]
    """Accepted types."""
    parse: Callable[[Any], object] | None = None
    """Further validation of the value; raises DataError."""

    def check(self, row: Mapping[str, Any], place: str) -> None:
        """Check that a row has this field and that its value is usable.

        Args:
            row: Data row.
            place: File and line of the row, for messages.

        Raises:
            DataError: if the field is missing or has an invalid value.
        """
        name = next((name for name in self.names if name in row), None)
        if name is None:
            known = ", ".join(map(str, row)) or "none"
            raise DataError(f"{place}: no field {' or '.join(map(repr, self.names))} (fields: {known})")
        value = row[name]
        if not isinstance(value, self.types) or isinstance(value, bool):
            expected = " or ".join(dict.fromkeys(_TYPE_NAMES.get(kind, kind.__name__) for kind in self.types))
            raise DataError(f"{place}: field {name!r} must be {expected}, got {json_type(value)}")
        if isinstance(value, str | list) and not (value.strip() if isinstance(value, str) else value):
            raise DataError(f"{place}: field {name!r} is empty")
        if self.parse is not None:
            try:
                self.parse(value)
            except DataError as error:
                raise DataError(f"{place}: field {name!r}: {error}") from error
