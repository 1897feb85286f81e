"""How a confined child reports: one JSON line per finished test, on a descriptor of its own."""

from __future__ import annotations

import json
import os
from typing import Any

_ERROR_CHARACTERS = 300
_DONE = b'{"stage":"done"}\n'
"""Ready made: an encoder would cost a child that reports nothing else more time than the program takes."""


class Reporter:
    """Writes report lines to a descriptor with functions taken before the program could replace them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._write = os.write
        self._dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

    def send(self, **line: Any) -> None:
        """Write one line."""
        self.line(line)

    def done(self) -> None:
        """Write the last line of a run that came to its end."""
        self._write(self._descriptor, _DONE)

    def line(self, line: dict[str, Any]) -> None:
        """Write one line."""
        data = self._dumps(line).encode() + b"\n"
        while data:
            data = data[self._write(self._descriptor, data) :]


def describe(error: BaseException) -> str:
    """Type and message of an exception, shortened; never fails."""
    kind = type(error).__name__
    try:
        text = str(error)
    except BaseException:
        text = "(its message could not be made)"
    return f"{kind}: {text}"[:_ERROR_CHARACTERS]
