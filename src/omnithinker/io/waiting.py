"""Waiting that a signal interrupts."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

T = TypeVar("T")
LOOK_S = 1.0
"""Time after which signals are handled that the kernel has delivered to another thread, seconds."""


def wait_for_all(futures: Collection[Future[Any]]) -> None:
    """Block until all futures are done."""
    # The main thread runs signal handlers, but a wait without a timeout ends only for signals delivered to itself.
    while wait(futures, timeout=LOOK_S).not_done:
        pass


def wait_for_first(futures: Collection[Future[Any]]) -> None:
    """Block until one of the futures is done."""
    while futures and not wait(futures, timeout=LOOK_S, return_when=FIRST_COMPLETED).done:
        pass


def result_of(future: Future[T]) -> T:
    """Return a future's result once it is done, or raise its exception."""
    wait_for_all([future])
    return future.result()
