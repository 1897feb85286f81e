"""Checkpoints written while training continues."""

from __future__ import annotations

import threading
from collections.abc import Callable

from omnithinker.io.closing import Closing


class BackgroundWriter(Closing):
    """Runs one job at a time in a thread. A job that fails is an error of whoever submits, checks or waits next."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Start a job once the one before has ended.

        Raises:
            Exception: that of the job before, if it failed.
        """
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(job,), name="checkpoint", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise the error of a job that has failed, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def wait(self) -> None:
        """Wait for the job in flight.

        Raises:
            Exception: that of the job, if it failed.
        """
        self._join()
        self.check()

    def close(self) -> None:
        """Wait for the job in flight; its error is dropped, as another one has ended the run."""
        self._join()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # raised again where the run can stop
            self._error = error
