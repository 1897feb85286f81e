"""Standard streams that may be closed, full, or lack characters."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

STANDARD_OUTPUT = "standard output"
"""Name of standard output in messages."""


class _Output(io.FileIO):
    """Standard output that names itself in errors, and remembers one that a library has ignored."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write bytes."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            self.failure = error
            raise


class _Messages(io.FileIO):
    """Standard error whose messages vanish while it cannot be written: no work is lost for a message."""

    def write(self, data: Any, /) -> int:
        """Write bytes."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Let every text be printed in a ``with`` block, and raise an error of standard output at its end at the latest.

    What the encoding of standard output lacks is escaped, as Python does for standard error. Messages vanish if
    standard error is closed or full, or its reader has gone.

    Raises:
        OSError: if standard output is closed or cannot be written; its file name is :data:`STANDARD_OUTPUT`.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (open until the process ends)
    with _messages(), _results():
        yield


@contextlib.contextmanager
def _messages() -> Iterator[None]:
    """Replace standard error, unless another program has."""
    original = sys.stderr
    if original is not sys.__stderr__ or not isinstance(original, io.TextIOWrapper):
        yield
        return
    sys.stderr = _text_stream(_Messages(original.fileno(), "w", closefd=False), original)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = original


def _text_stream(raw: io.FileIO, original: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a stream with the encoding of another one."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=original.encoding,
        errors="backslashreplace",
        line_buffering=original.line_buffering or original.write_through,
    )


@contextlib.contextmanager
def _results() -> Iterator[None]:
    """Replace standard output, unless another program has."""
    original = sys.stdout
    if original is None:
        raise OSError(0, "is closed; redirect it to a file or to /dev/null", STANDARD_OUTPUT)
    if original is not sys.__stdout__ or not isinstance(original, io.TextIOWrapper):
        # Another program has replaced it.
        if isinstance(original, io.TextIOWrapper):
            original.reconfigure(errors="backslashreplace")
        yield
        return
    raw = _Output(original.fileno(), "w", closefd=False)
    sys.stdout = _text_stream(raw, original)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        if raw.failure is not None:
            # Python would write what is left when the stream is closed.
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, raw.fileno())
                os.close(null)
        sys.stdout = original
        if raw.failure is not None:
            raise raw.failure
