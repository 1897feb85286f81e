"""A slot for machines without Linux's facilities (macOS): a fresh interpreter per run, with process limits alone.

Takes the place of the fork server of :mod:`omnithinker.sandbox.slot` and answers alike, so verdicts are computed the
same way; but a program can read files and reach the network, which is why this is level ``weak``. Uses nothing beyond
POSIX: temporary files, resource limits, a session of its own that is killed as a whole.
"""

from __future__ import annotations

import contextlib
import json
import marshal
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
from omnithinker.sandbox.inside import plain, template
from omnithinker.sandbox.slot import ENVIRONMENT, FILE_SIZE, INTERPRETER, Ended, Limits, boot

BOOT = boot("plain")
"""Imports :mod:`.inside.plain` alone and runs it."""


class PlainSlot:
    """Runs one program at a time, each in an interpreter of its own. Not safe for several threads, but for ``close``.

    Raises:
        SandboxError: an interpreter cannot be started and limited here.
    """

    layers = ("rlimits", "empty_environment")
    problems = ("landlock", "seccomp")
    process_id = None
    """No process lives between runs."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._closed = False
        self._running: list[_Process] = []
        ended = self.run(marshal.dumps({"mode": "stdio", "code": ""}))
        if ended.exit_code != 0:
            raise SandboxError(f"the sandbox's interpreter does not work: {_last_line(ended.stderr)}")

    def run(self, request: bytes, stdin: bytes = b"") -> Ended:
        """Run one program and wait for its end.

        Raises:
            SandboxError: it could not be started or limited, or the slot was closed.
        """
        with contextlib.ExitStack() as stack:
            ended = self._start(stack, request, stdin).end()
        self._check_open()
        return ended

    def run_pair(self, judge: bytes, solver: bytes) -> tuple[Ended, Ended]:
        """Run a judge and a solver, connected to each other, until the judge ends.

        Raises:
            SandboxError: as for :meth:`run`.
        """
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ends[0], ends[1], contextlib.ExitStack() as stack:
            first = self._start(stack, judge, b"", ends[0])
            second = self._start(stack, solver, b"", ends[1])
            for end in ends:
                end.close()  # so that each process sees when the other ends
            both = first.end(), second.end(at_once=True)
        self._check_open()
        return both

    def close(self) -> None:
        """No further run; a running program ends."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()

    def _start(
        self, stack: contextlib.ExitStack, request: bytes, stdin: bytes, connection: socket.socket | None = None
    ) -> _Process:
        with self._lock:
            self._check_open()
            process = _Process(self.limits, request, stdin, connection)
            self._running.append(process)
            stack.callback(self._finish, process)
        return process

    def _finish(self, process: _Process) -> None:
        with self._lock:
            self._running.remove(process)
            process.close()

    def _check_open(self) -> None:
        if self._closed:
            raise SandboxError("the sandbox is closed")


class _Process:
    """One running program with its files: stdin, stdout, stderr, request, report."""

    def __init__(self, limits: Limits, request: bytes, stdin: bytes, connection: socket.socket | None) -> None:
        self._limits = limits
        self._too_long = False
        self._started = time.monotonic()
        with contextlib.ExitStack() as stack:
            self._files = [stack.enter_context(_file(text)) for text in (stdin, b"", b"", request, b"")]
            self._line, theirs = socket.socketpair()  # it closes with this process, which the program's then notices
            stack.enter_context(self._line)
            with theirs:
                passed = [*(file.fileno() for file in self._files[3:]), theirs.fileno()]
                self._process = _popen(limits, self._files, passed + ([connection.fileno()] if connection else []))
            self._open = stack.pop_all()
        self._timer = threading.Timer(limits.wall_seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def end(self, *, at_once: bool = False) -> Ended:
        """Wait for the end, or bring it about.

        Raises:
            SandboxError: the process ended before it came to the program.
        """
        if at_once:
            self.kill()
        _, status, usage = os.wait4(self._process.pid, 0)
        self._timer.cancel()
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.kill()  # what it may have started; the group's number stays taken as long as there is anything
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        stdout, stderr, report = (self._content(index) for index in (1, 2, 4))
        if not self._came_to_the_program() and not (at_once and number == signal.SIGKILL):
            raise SandboxError(f"the sandbox's interpreter did not start: {_last_line(stderr)}")
        cpu_s = usage.ru_utime + usage.ru_stime
        # The second limit, for a program that ignores the first, kills; so do we where the end is brought about.
        used_up = number == signal.SIGXCPU or (
            number == signal.SIGKILL and not at_once and cpu_s >= self._limits.cpu_seconds
        )
        return Ended(
            exit_code=None if number is not None else os.WEXITSTATUS(status),
            signal=number,
            killed_for=template.WALL if self._too_long else template.CPU if used_up else template.ENDED,
            cpu_s=cpu_s,
            wall_s=time.monotonic() - self._started,
            # macOS counts bytes, Linux KiB.
            peak_rss_mb=usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
            report=report,
            stdout=stdout,
            stderr=stderr,
        )

    def kill(self) -> None:
        """End the program and all that it started, but for what left its session."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # it has ended, and nothing of it is left

    def close(self) -> None:
        """End the program if it still runs, and drop its files."""
        self._timer.cancel()
        if self._process.returncode is None:
            self.kill()
            self._process.wait()
        self._open.close()

    def _came_to_the_program(self) -> bool:
        self._line.setblocking(False)
        try:
            return self._line.recv(1) == plain.READY
        except BlockingIOError:
            return False  # what it started holds the other end open

    def _content(self, index: int) -> bytes:
        return os.pread(self._files[index].fileno(), FILE_SIZE, 0)

    def _expire(self) -> None:
        self._too_long = True
        self.kill()


def _popen(limits: Limits, files: list[IO[bytes]], passed: list[int]) -> subprocess.Popen[bytes]:
    packages = [sysconfig.get_paths()[key] for key in ("purelib", "platlib")] if limits.preload else []
    options = {
        "descriptors": passed,
        "cpu_seconds": limits.cpu_seconds,
        "memory": limits.memory_mb << 20,
        "file_size": FILE_SIZE,
        "path": list(dict.fromkeys(packages)),
        "preload": list(limits.preload),
        "in_process_tests": limits.in_process_tests,
    }
    try:
        return subprocess.Popen(
            [*INTERPRETER, "-c", BOOT, json.dumps(options)],
            env=ENVIRONMENT,
            stdin=files[0],
            stdout=files[1],
            stderr=files[2],
            pass_fds=passed,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError(f"the sandbox's interpreter did not start: {error.strerror}") from error


def _file(content: bytes) -> IO[bytes]:
    """A temporary file that has no name any more, at its start."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.write(content)
    file.seek(0)
    return file


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "no message"
