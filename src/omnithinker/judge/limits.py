"""Being a fair client: rates per minute, and not hammering an endpoint that is down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

BURST_SECONDS = 6.0
"""How much of a rate may be used at once after a pause."""


class RateLimit:
    """A token bucket that may go into debt, for amounts that are only known afterwards.

    Args:
        per_minute: allowed amount per minute; None for no limit.
        clock: seconds, monotonic.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._per_second = None if per_minute is None else per_minute / 60
        self._capacity = max(1.0, (self._per_second or 0.0) * BURST_SECONDS)
        self._level = self._capacity
        self._clock, self._sleep = clock, sleep
        self._then = clock()

    async def acquire(self, amount: float = 1.0) -> None:
        """Take an amount now and wait until the bucket covers it; callers are served in the order they came."""
        if self._per_second is None:
            return
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._then) * self._per_second)
        self._then = now
        self._level -= amount
        if self._level < 0:
            await self._sleep(-self._level / self._per_second)

    def settle(self, difference: float) -> None:
        """Correct an amount taken earlier: positive when more was used than taken."""
        if self._per_second is not None:
            self._level = min(self._capacity, self._level - difference)


class CircuitBreaker:
    """Stops calls after many failures in a row, and lets one through after a pause to see.

    Args:
        failures: failures in a row after which calls stop.
        pause_s: seconds until the next trial call.
        clock: seconds, monotonic.
    """

    def __init__(self, failures: int, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._threshold, self._pause, self._clock = failures, pause_s, clock
        self._in_a_row = 0
        self._closed_until = 0.0

    def allows(self) -> bool:
        """Whether a call may be made now; a trial call is granted to one caller per pause."""
        if self._in_a_row < self._threshold:
            return True
        if self._clock() < self._closed_until:
            return False
        self._closed_until = self._clock() + self._pause
        return True

    def record(self, success: bool) -> None:
        """Tell how a call went."""
        self._in_a_row = 0 if success else self._in_a_row + 1
        if self._in_a_row == self._threshold:
            self._closed_until = self._clock() + self._pause


class BusyClock:
    """Measures the time during which at least one thing is under way.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._under_way = 0
        self._busy_s = 0.0
        self._then = clock()

    def __enter__(self) -> BusyClock:
        self._look()
        self._under_way += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._look()
        self._under_way -= 1

    def take(self) -> float:
        """Seconds since this was last called, as far as anything was under way."""
        self._look()
        busy_s, self._busy_s = self._busy_s, 0.0
        return busy_s

    @property
    def seconds(self) -> float:
        """What :meth:`take` would give."""
        self._look()
        return self._busy_s

    def _look(self) -> None:
        now = self._clock()
        if self._under_way:
            self._busy_s += now - self._then
        self._then = now
