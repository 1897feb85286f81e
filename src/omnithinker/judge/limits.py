"""Client-side limits: request rates, a circuit breaker, and a clock of busy time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

BURST_SECONDS = 6.0
"""Burst capacity of a rate limit, in seconds of its rate."""


class RateLimit:
    """Token bucket whose level may become negative, for amounts that are only known afterwards.

    Args:
        per_minute: Amount per minute; None for no limit.
        clock: Monotonic clock, seconds.
        sleep: Coroutine that waits, seconds.
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
        self._updated = clock()

    async def acquire(self, amount: float = 1.0) -> None:
        """Take an amount and wait until the bucket covers it; first come, first served."""
        if self._per_second is None:
            return
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._updated) * self._per_second)
        self._updated = now
        self._level -= amount
        if self._level < 0:
            await self._sleep(-self._level / self._per_second)

    def settle(self, difference: float) -> None:
        """Correct an amount taken earlier; ``difference`` is positive if more was used than taken."""
        if self._per_second is not None:
            self._level = min(self._capacity, self._level - difference)


class CircuitBreaker:
    """Blocks calls after consecutive failures, except for one trial call per pause.

    Args:
        failures: Consecutive failures after which calls are blocked.
        pause_s: Time between trial calls, seconds.
        clock: Monotonic clock, seconds.
    """

    def __init__(self, failures: int, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._threshold, self._pause, self._clock = failures, pause_s, clock
        self._consecutive = 0
        self._open_until = 0.0

    def allows(self) -> bool:
        """Return True if a call may be made now; only one caller per pause gets a trial call."""
        if self._consecutive < self._threshold:
            return True
        if self._clock() < self._open_until:
            return False
        self._open_until = self._clock() + self._pause
        return True

    def record(self, success: bool) -> None:
        """Record the result of a call."""
        self._consecutive = 0 if success else self._consecutive + 1
        if self._consecutive == self._threshold:
            self._open_until = self._clock() + self._pause


class BusyClock:
    """Context manager that measures the time during which at least one caller is inside it.

    Args:
        clock: Monotonic clock, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._active = 0
        self._busy_s = 0.0
        self._updated = clock()

    def __enter__(self) -> BusyClock:
        self._update()
        self._active += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._update()
        self._active -= 1

    def take(self) -> float:
        """Return the busy time since the last call of this method, seconds."""
        self._update()
        busy_s, self._busy_s = self._busy_s, 0.0
        return busy_s

    @property
    def seconds(self) -> float:
        """Busy time since the last call of :meth:`take`, seconds."""
        self._update()
        return self._busy_s

    def _update(self) -> None:
        now = self._clock()
        if self._active:
            self._busy_s += now - self._updated
        self._updated = now
