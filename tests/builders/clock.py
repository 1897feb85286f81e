"""A clock that tests move."""

from __future__ import annotations


class Clock:
    """Time that only moves when told or slept."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
