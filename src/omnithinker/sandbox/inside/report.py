"""Reports of confined children: one JSON line per finished test, on a separate descriptor."""

from __future__ import annotations

import json
import os
from typing import Any

_ERROR_CHARACTERS = 300
_DONE = b'{"stage":"done"}\n'
"""Encoded in advance: running an encoder for this line alone would take a child longer than a short program."""


class Reporter:
    """Writes report lines to a descriptor, with functions bound before a program can replace them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._write = os.write
        self._dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

    def send(self, **fields: Any) -> None:
        """Write one line with these fields."""
        self.send_line(fields)

    def done(self) -> None:
        """Write the last line of a completed run."""
        self._write(self._descriptor, _DONE)

    def send_line(self, line: dict[str, Any]) -> None:
        """Write one line."""
        data = self._dumps(line).encode() + b"\n"
        while data:
            data = data[self._write(self._descriptor, data) :]


def describe_error(error: BaseException) -> str:
    """Return the type and message of an exception, shortened. Never raises."""
    kind = type(error).__name__
    try:
        text = str(error)
    except BaseException:
        text = "(no message: __str__ failed)"
    return f"{kind}: {text}"[:_ERROR_CHARACTERS]
