"""Reading an iterator in a background thread."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

from omnithinker.io.closing import Closing

Item = TypeVar("Item")


class BackgroundReader(Closing, Generic[Item]):
    """Reads an iterator in a daemon thread, one item per request.

    Closing does not wait for a thread that is blocked in the iterator, such as one that reads a pipe without a writer.
    Only the thread may use the iterator.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._requests: SimpleQueue[Future[Item | None] | None] = SimpleQueue()
        threading.Thread(target=self._run, args=(iter(items),), name="background-reader", daemon=True).start()

    def read_next(self) -> Future[Item | None]:
        """Return a future of the next item, or of None after the last; it raises what the iterator raises."""
        future: Future[Item | None] = Future()
        self._requests.put(future)
        return future

    def close(self) -> None:
        """Stop reading after the requests made so far."""
        self._requests.put(None)

    def _run(self, items: Iterator[Item]) -> None:
        while (future := self._requests.get()) is not None:
            try:
                future.set_result(next(items, None))
            except Exception as error:
                future.set_exception(error)
