"""Stopping by signals: SIGTERM, which schedulers send, is Ctrl-C everywhere."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that stop a command."""
SHOW_CURSOR = "\x1b[?25h"
"""Undoes what live displays do to a terminal."""


@contextlib.contextmanager
def interruptible(message: str) -> Iterator[None]:
    """Raise KeyboardInterrupt on a signal within a ``with`` block.

    During an import the process ends at once with code 130, because libraries convert an exception in the middle of an
    import to others, or print it and continue. The system releases locks, and child processes end by themselves.

    A signal that is ignored when the block begins stays ignored, as in a shell's background jobs. The block has no
    effect outside the main thread, where Python allows no signal handlers.

    Args:
        message: printed to standard error if the process ends at once.
    """

    def handle(_number: int, frame: FrameType | None) -> None:
        if not _is_importing(frame):
            raise KeyboardInterrupt
        tell(f"{SHOW_CURSOR if sys.stderr.isatty() else ''}{message}\n")
        os._exit(130)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handle) for number in heeded()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def heeded() -> list[signal.Signals]:
    """Return the signals that stop this process: those that are not ignored."""
    return [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


def tell(message: str) -> None:
    """Write to standard error from a signal handler, which must not use a stream that the program may be writing to."""
    with contextlib.suppress(OSError):
        os.write(2, message.encode(errors="replace"))


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


class StopFlag:
    """Context manager that sets ``requested`` on SIGINT or SIGTERM; a second signal raises KeyboardInterrupt.

    The first signal stops a run after the current step, the second one at once. A signal that is ignored stays ignored.

    It has no effect outside the main thread, where Python allows no signal handlers.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in heeded()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        tell("\nstopping after this step; press Ctrl-C again to stop at once\n")
