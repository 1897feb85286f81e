"""A slot for machines without Linux's facilities (macOS): a fresh interpreter per run, with process limits alone.

Takes the place of the fork server of :mod:`omnithinker.sandbox.slot` and answers alike, so verdicts are computed the
same way; but a program can read files and reach the network, which is why this is level ``weak``. Uses nothing beyond
POSIX: temporary files, resource limits, a session of its own that is killed as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from typing import IO

from omnithinker.errors import SandboxError
from omnithinker.sandbox.inside import template
from omnithinker.sandbox.slot import ENVIRONMENT, FILE_SIZE, INTERPRETER, Ended, Limits, boot

BOOT = boot("plain")
"""Imports :mod:`.inside.plain` alone and runs it."""


class PlainSlot:
    """Runs one program at a time, each in an interpreter of its own."""

    layers = ("rlimits", "empty_environment")
    problems = ("landlock", "seccomp")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._closed = False

    @property
    def process_id(self) -> int:
        """There is no process between runs.

        Raises:
            SandboxError: always.
        """
        raise SandboxError("no process runs between programs")

    def run(self, request: bytes, stdin: bytes = b"") -> Ended:
        """Run one program and wait for its end."""
        with _Process(self._limits(), request, stdin) as process:
            return process.end()

    def run_pair(self, judge: bytes, solver: bytes) -> tuple[Ended, Ended]:
        """Run a judge and a solver, connected to each other, until the judge ends."""
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ends[0], ends[1]:
            limits = self._limits()
            with _Process(limits, judge, b"", ends[0]) as first, _Process(limits, solver, b"", ends[1]) as second:
                for end in ends:
                    end.close()  # so that each process sees when the other ends
                verdict = first.end()
                return verdict, second.end(at_once=True)

    def close(self) -> None:
        """No further run."""
        self._closed = True

    def _limits(self) -> Limits:
        if self._closed:
            raise SandboxError("the sandbox is closed")
        return self.limits


class _Process:
    """One running program with its files: stdin, stdout, stderr, request, report."""

    def __init__(self, limits: Limits, request: bytes, stdin: bytes, connection: socket.socket | None = None) -> None:
        self._limits = limits
        self._open = contextlib.ExitStack()
        self._files: list[IO[bytes]] = []
        for content in (stdin, b"", b"", request, b""):
            file = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack closes it)
            file.write(content)
            file.seek(0)
            self._files.append(file)
        passed = [file.fileno() for file in self._files[3:]] + ([connection.fileno()] if connection else [])
        packages = [sysconfig.get_paths()[key] for key in ("purelib", "platlib")] if limits.preload else []
        options = {
            "descriptors": passed,
            "cpu_seconds": limits.cpu_seconds,
            "memory": limits.memory_mb << 20,
            "file_size": FILE_SIZE,
            "path": list(dict.fromkeys(packages)),
            "preload": list(limits.preload),
        }
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [*INTERPRETER, "-c", BOOT, json.dumps(options)],
            env=ENVIRONMENT,
            stdin=self._files[0],
            stdout=self._files[1],
            stderr=self._files[2],
            pass_fds=passed,
            cwd="/",
            start_new_session=True,
        )
        self._too_long = False
        self._timer = threading.Timer(limits.wall_seconds, self._expire)
        self._timer.start()

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._process.returncode is None:
            self._kill()
            self._process.wait()
        self._open.close()

    def end(self, *, at_once: bool = False) -> Ended:
        """Wait for the end, or bring it about."""
        if at_once:
            self._kill()
        _, status, usage = os.wait4(self._process.pid, 0)
        self._timer.cancel()
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._kill()  # what it may have started
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        if number == template.SETUP_FAILED:
            raise SandboxError(f"a program could not be limited: {self._content(2)[:300].decode(errors='replace')}")
        reason = template.WALL if self._too_long else template.CPU if number == signal.SIGXCPU else template.ENDED
        # macOS counts bytes, Linux KiB.
        peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        return Ended(
            exit_code=None if number is not None else os.WEXITSTATUS(status),
            signal=number,
            killed_for=reason,
            cpu_s=usage.ru_utime + usage.ru_stime,
            wall_s=time.monotonic() - self._started,
            peak_rss_mb=peak,
            report=self._content(4),
            stdout=self._content(1),
            stderr=self._content(2),
        )

    def _content(self, index: int) -> bytes:
        return os.pread(self._files[index].fileno(), FILE_SIZE, 0)

    def _expire(self) -> None:
        self._too_long = True
        self._kill()

    def _kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # it has ended, and nothing of it is left
