"""Waiting for the next of something beside other things."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Ahead(Generic[Thing]):
    """Takes things from an iterator in a thread, one at a time and only when asked.

    The thread is left behind when the iterator holds it, as a pipe does to which nobody writes: it holds up neither
    the end of the ``with`` block nor that of the process. The iterator belongs to the thread from then on.
    """

    def __init__(self, things: Iterable[Thing]) -> None:
        self._asked: SimpleQueue[Future[Thing | None] | None] = SimpleQueue()
        threading.Thread(target=self._take, args=(iter(things),), name="ahead", daemon=True).start()

    def ask(self) -> Future[Thing | None]:
        """The next thing, or None after the last; the future raises what the iterator raises."""
        future: Future[Thing | None] = Future()
        self._asked.put(future)
        return future

    def __enter__(self) -> Ahead[Thing]:
        return self

    def __exit__(self, *_: object) -> None:
        self._asked.put(None)

    def _take(self, things: Iterator[Thing]) -> None:
        while (future := self._asked.get()) is not None:
            try:
                future.set_result(next(things, None))
            except Exception as error:
                future.set_exception(error)
