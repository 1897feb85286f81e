"""Client-side limits: request rates, a circuit breaker, and a clock of busy time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable

BURST_SECONDS = 6.0
"""Burst capacity of a rate limit, in seconds of its rate."""


class RateLimit:
    """Token bucket whose level may become negative, for amounts that are only known afterwards. Thread-safe.

    Args:
        per_minute: Amount per minute; None for no limit.
        clock: Monotonic clock, seconds.
        sleep: Coroutine that waits, seconds.
        burst_s: Capacity of the bucket, seconds of its rate.
    """

    def __init__(
        self,
        per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        burst_s: float = BURST_SECONDS,
    ) -> None:
        self._per_second = None if per_minute is None else per_minute / 60
        self._capacity = max(1.0, (self._per_second or 0.0) * burst_s)
        self._level = self._capacity
        self._clock, self._sleep = clock, sleep
        self._updated = clock()
        self._lock = threading.Lock()

    async def acquire(self, amount: float = 1.0) -> None:
        """Take an amount and wait until the bucket covers it; first come, first served."""
        if self._per_second is None:
            return
        with self._lock:
            now = self._clock()
            elapsed = max(0.0, now - self._updated)
            self._level = min(self._capacity, self._level + elapsed * self._per_second) - amount
            self._updated = now
            missing = -self._level
        if missing > 0:
            await self._sleep(missing / self._per_second)

    def settle(self, difference: float) -> None:
        """Correct an amount taken earlier; ``difference`` is positive if more was used than taken."""
        if self._per_second is not None:
            with self._lock:
                self._level = min(self._capacity, self._level - difference)


class RequestLimit:
    """Evenly spaced requests, never more than allowed within any minute. Thread-safe.

    Args:
        per_minute: Requests per minute; None for no limit.
        clock: Monotonic clock, seconds.
        sleep: Coroutine that waits, seconds.
    """

    def __init__(
        self,
        per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        # At high rates a late awakening may be made up for; the window keeps the limit exact.
        self._pace = RateLimit(per_minute, clock, sleep, burst_s=0.05)
        self._count = max(1, int(per_minute or 1))
        self._window_s = None if per_minute is None else 60.0 * self._count / per_minute
        self._sent: deque[float] = deque(maxlen=self._count)
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()

    async def acquire(self) -> None:
        """Wait until a request may be sent now."""
        if self._window_s is None:
            return
        await self._pace.acquire()
        while True:
            with self._lock:
                now = self._clock()
                full = len(self._sent) == self._count
                wait_s = self._sent[0] + self._window_s - now if full else 0.0
                if wait_s <= 0:
                    self._sent.append(now)
                    return
            await self._sleep(wait_s)


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
            self._busy_s += max(0.0, now - self._updated)
        self._updated = now
