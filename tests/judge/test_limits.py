"""Rate limits and circuit breaker on a clock of their own."""

import asyncio

import pytest

from omnithinker.judge.limits import BusyClock, CircuitBreaker, RateLimit
from tests.builders.clock import Clock


def test_rate_is_kept_after_the_burst() -> None:
    clock = Clock()

    async def use() -> None:
        limit = RateLimit(60, clock, clock.sleep)
        for _ in range(66):
            await limit.acquire()

    asyncio.run(use())
    # Six at once, then one a second.
    assert clock.now == pytest.approx(160.0)


def test_amounts_are_corrected_afterwards() -> None:
    clock = Clock()

    async def use() -> None:
        limit = RateLimit(600, clock, clock.sleep)
        await limit.acquire(50)
        limit.settle(+30)  # 80 used: 20 over the burst of 60
        await limit.acquire(10)

    asyncio.run(use())
    assert clock.now == pytest.approx(103.0)


def test_no_limit_never_waits() -> None:
    clock = Clock()

    async def use() -> None:
        limit = RateLimit(None, clock, clock.sleep)
        for _ in range(1000):
            await limit.acquire(1e9)

    asyncio.run(use())
    assert clock.now == 100.0


def test_breaker_opens_tries_once_a_pause_and_closes_on_success() -> None:
    clock = Clock()
    breaker = CircuitBreaker(3, 30.0, clock)
    for _ in range(2):
        breaker.record(False)
    assert breaker.allows()
    breaker.record(False)
    assert not breaker.allows()
    clock.now += 30
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.record(False)
    clock.now += 29
    assert not breaker.allows()
    clock.now += 1
    assert breaker.allows()
    breaker.record(True)
    assert [breaker.allows(), breaker.allows()] == [True, True]


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = CircuitBreaker(2, 30.0, Clock())
    for success in (False, True, False):
        breaker.record(success)
    assert breaker.allows()


def test_busy_time_counts_overlaps_once() -> None:
    clock = Clock()
    busy = BusyClock(clock)
    clock.now += 5
    with busy:
        clock.now += 1
        with busy:
            clock.now += 2
        assert busy.seconds == pytest.approx(3.0)
        clock.now += 1
    clock.now += 7
    assert busy.take() == pytest.approx(4.0)
    assert busy.take() == 0.0
