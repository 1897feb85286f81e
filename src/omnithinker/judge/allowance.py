"""Admission of calls under a budget whose costs are only known afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager


class Allowance:
    """Admit calls so that together they exceed a budget by one call at most. Works across threads and event loops.

    Every call under way counts as if it cost as much as the dearest so far, or as its estimate if that is more. While
    nothing is known of costs, calls are made one at a time. This holds as long as no call costs more than any before
    it and than its estimate.

    Args:
        budget: Maximum cost; None for none.
        spent: Returns cost and number of the calls that have ended.
    """

    def __init__(self, budget: float | None, spent: Callable[[], tuple[float, int]]) -> None:
        self._budget, self._spent = budget, spent
        self._estimates: list[float] = []
        self._dearest = 0.0
        self._waiting: list[Future[None]] = []
        self._lock = threading.Lock()

    @asynccontextmanager
    async def call(self, estimate: float, check: Callable[[], None]) -> AsyncIterator[None]:
        """Wait until a call of this estimated cost may begin, and count it as under way inside the block.

        Args:
            estimate: Upper estimate of the cost.
            check: Called before each decision; raises an exception if there is no point in waiting.
        """
        if self._budget is None:
            yield
            return
        while True:
            check()
            turn = self._enter(estimate)
            if turn is None:
                break
            await asyncio.wrap_future(turn)
        try:
            yield
        finally:
            with self._lock:
                self._estimates.remove(estimate)
                waiting, self._waiting = self._waiting, []
            for turn in waiting:
                if turn.set_running_or_notify_cancel():
                    turn.set_result(None)

    def learn(self, cost: float) -> None:
        """Take note of the cost of a call."""
        self._dearest = max(self._dearest, cost)

    def _enter(self, estimate: float) -> Future[None] | None:
        """Count a call as under way, or return a future that is done after a call has ended."""
        with self._lock:
            cost, calls = self._spent()
            expected = max(self._dearest, cost / max(1, calls))
            reserved = sum(max(expected, other) for other in self._estimates)
            if not self._estimates or (expected and self._budget and cost + reserved < self._budget):
                self._estimates.append(estimate)
                return None
            self._waiting.append(Future())
            return self._waiting[-1]
