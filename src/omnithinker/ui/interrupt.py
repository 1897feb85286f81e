"""Stopping at a good moment: the first Ctrl-C or SIGTERM asks, the second one insists."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any


class StopFlag:
    """Turns SIGINT and SIGTERM into ``requested = True`` while the block runs; a second signal interrupts at once.

    Outside the main thread, where Python allows no handlers, it does nothing.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("\nstopping after this step; once more to stop at once", file=sys.stderr)
