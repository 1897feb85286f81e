"""Pool of verifier processes for mathematical equality: started on demand, killed and replaced on timeout."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import IO

from omnithinker.errors import RewardError
from omnithinker.io.closing import Closing

WORKER = Path(__file__).with_name("math_worker.py")
STOP_SECONDS = 10.0
"""Time for an idle worker to exit before it is killed, seconds."""
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
"""Environment variables passed to a worker; keys and tokens are not among them."""


class Equality(StrEnum):
    """Verdict of a verifier process on a pair."""

    EQUAL = "equal"
    DIFFERENT = "different"
    GOLD_UNPARSEABLE = "gold_unparseable"
    TIMEOUT = "timeout"
    CRASHED = "crashed"


class _Worker:
    """One verifier process and its two pipes."""

    def __init__(self, cpu_seconds: float, memory_mb: int, start_seconds: float) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # A fresh interpreter, never a fork: the trainer holds threads, locks and a GPU context.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), str(cpu_seconds), str(memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment | {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
            bufsize=0,
            start_new_session=True,  # the worker and its child are killed together
        )
        if self._read(start_seconds) != "ready":
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            self.kill()
            raise RewardError(f"the math verifier did not start: {lines[-1] if lines else 'no message'}")

    @property
    def process_id(self) -> int:
        """Process ID."""
        return self._process.pid

    def request(self, gold: str, answer: str, wall_seconds: float) -> str | None:
        """Return the worker's reply; empty if it died, None if it timed out and must be killed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps([gold, answer]) + "\n").encode())
        except OSError:
            return ""
        return self._read(wall_seconds)

    def stop(self) -> None:
        """Stop an idle worker: it exits when its input is closed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kill the process with its child and close its pipes."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _read(self, wall_seconds: float) -> str | None:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(wall_seconds):
                return None
        return os.read(self._process.stdout.fileno(), 64).decode().strip()


class MathPool(Closing):
    """Pool of verifier processes with a time limit per pair. Thread-safe.

    Args:
        workers: Number of processes; by default one per core, at most 8. Each starts when a pair has to wait.
        cpu_seconds: Time limit per pair in CPU time, so that the load of the machine changes no verdict. A worker that
            does not reply within ``10 * cpu_seconds + 5`` seconds of wall time is killed.
        memory_mb: Address space of a worker, MiB.
        start_seconds: Time limit for a worker to import its libraries.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        cpu_seconds: float = 2.0,
        memory_mb: int = 2048,
        start_seconds: float = 120.0,
    ) -> None:
        self._count = workers or min(os.cpu_count() or 1, 8)
        self._limits = (cpu_seconds, memory_mb, start_seconds)
        self._wall_seconds = 10 * cpu_seconds + 5
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="math")
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._lock = threading.Lock()
        self.started = 0
        """Workers started so far."""
        self.restarts = 0
        """Workers that were killed or died. A worker that times out a pair itself keeps running."""

    def submit(self, gold: str, answer: str) -> Future[Equality]:
        r"""Start comparing two LaTeX expressions (without ``$`` or ``\boxed``).

        Returns:
            A future of the verdict; raises RewardError if no verifier process can be started.
        """
        return self._threads.submit(self._compare, gold, answer)

    def compare(self, gold: str, answer: str) -> Equality:
        """Return the verdict on one pair.

        Raises:
            RewardError: if no verifier process can be started.
        """
        return self.submit(gold, answer).result()

    def process_ids(self) -> list[int]:
        """Return the process IDs of the idle workers."""
        with self._idle.mutex:
            return [worker.process_id for worker in self._idle.queue]

    def close(self) -> None:
        """Stop all processes. Pairs in progress finish first; queued ones are dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().stop()

    def _compare(self, gold: str, answer: str) -> Equality:
        verdict = self._attempt(gold, answer)
        if verdict is Equality.CRASHED:
            # Killed for memory or crashed in C code. Try again: the pair may not be the cause.
            verdict = self._attempt(gold, answer)
        return verdict

    def _attempt(self, gold: str, answer: str) -> Equality:
        worker = self._take()
        reply: str | None = None
        try:
            reply = worker.request(gold, answer, self._wall_seconds)
        finally:
            if reply:
                self._idle.put(worker)
            else:
                worker.kill()
        if reply:
            return Equality(reply)
        with self._lock:
            self.restarts += 1
        return Equality.TIMEOUT if reply is None else Equality.CRASHED

    def _take(self) -> _Worker:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            with self._lock:
                self.started += 1
            return _Worker(*self._limits)
