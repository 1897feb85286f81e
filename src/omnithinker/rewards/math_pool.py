"""Verifier processes for mathematical equality: started when first needed, killed and replaced on overrun."""

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

WORKER = Path(__file__).with_name("math_worker.py")
STOP_SECONDS = 10.0
"""How long an idle worker may take to leave before it is killed."""
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
"""Variables passed on to a worker; keys and tokens stay here."""


class Equality(StrEnum):
    """What a verifier process says of a pair."""

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
            start_new_session=True,  # the worker and its child are ended together
        )
        if self._read(start_seconds) != "ready":
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            self.kill()
            raise RewardError(f"the math verifier did not start: {lines[-1] if lines else 'no message'}")

    @property
    def process_id(self) -> int:
        """Number of the process."""
        return self._process.pid

    def ask(self, gold: str, answer: str, wall_seconds: float) -> str | None:
        """The worker's reply; empty when it died, None when it overran its wall time (then it is of no more use)."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps([gold, answer]) + "\n").encode())
        except OSError:
            return ""
        return self._read(wall_seconds)

    def stop(self) -> None:
        """Let an idle worker go: it leaves when its input ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the process with its child and free its pipes."""
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


class MathPool:
    """A pool of verifier processes, each with its own deadline for each pair. Safe to call from several threads.

    Args:
        workers: processes; by default one per core, at most 8. They start one by one as pairs wait for them.
        cpu_seconds: CPU time for one pair, so that the load of a machine changes no verdict. A worker that gives no
            answer in ten times this and five seconds more is ended.
        memory_mb: address space of a worker, MiB.
        start_seconds: how long a worker may take to import its libraries.
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
        """Workers that had to be ended or died. (One that ended a pair at its deadline goes on.)"""

    def submit(self, gold: str, answer: str) -> Future[Equality]:
        r"""Start comparing two LaTeX expressions (without ``$`` or ``\boxed``).

        Returns:
            A future of the verdict; raises RewardError when no verifier process can be started.
        """
        return self._threads.submit(self._compare, gold, answer)

    def compare(self, gold: str, answer: str) -> Equality:
        """The verdict on one pair.

        Raises:
            RewardError: no verifier process can be started.
        """
        return self.submit(gold, answer).result()

    def process_ids(self) -> list[int]:
        """Process numbers of the workers that wait for work."""
        with self._idle.mutex:
            return [worker.process_id for worker in self._idle.queue]

    def close(self) -> None:
        """End all processes. Pairs in work finish first; waiting ones are dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().stop()

    def __enter__(self) -> MathPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _compare(self, gold: str, answer: str) -> Equality:
        verdict = self._attempt(gold, answer)
        if verdict is Equality.CRASHED:
            # Killed for memory, or crashed in C code: once more, in case it was not the pair.
            verdict = self._attempt(gold, answer)
        return verdict

    def _attempt(self, gold: str, answer: str) -> Equality:
        worker = self._take()
        reply: str | None = None
        try:
            reply = worker.ask(gold, answer, self._wall_seconds)
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
