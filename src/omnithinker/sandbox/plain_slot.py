"""A slot for systems other than Linux, such as macOS: a fresh interpreter per run, with process limits alone.

It replaces the fork server of :mod:`omnithinker.sandbox.slot` and returns the same results, so verdicts are computed
the same way. A program can read files and reach the network, hence level ``weak``. It uses POSIX alone: temporary
files, resource limits, and a session per program that is killed as a whole.
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
from omnithinker.io.closing import Closing
from omnithinker.sandbox.inside import plain, template
from omnithinker.sandbox.slot import ENVIRONMENT, FILE_SIZE, INTERPRETER, Limits, ProcessResult, bootstrap

BOOTSTRAP = bootstrap("plain")
"""Program that imports :mod:`.inside.plain` and runs it."""


class PlainSlot(Closing):
    """Runs one program at a time, each in its own interpreter. Only ``close`` is thread-safe.

    Raises:
        SandboxError: if an interpreter cannot be started and limited on this machine.
    """

    layers = ("rlimits", "empty_environment")
    problems = ("landlock", "seccomp")
    process_ids: tuple[int, ...] = ()
    """Empty: no process lives between runs."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._closed = False
        self._running: list[_Process] = []
        process = self.run(marshal.dumps({"mode": "stdio", "code": ""}))
        if process.exit_code != 0:
            raise SandboxError(f"the sandbox's interpreter does not work: {_last_line(process.stderr)}")

    def run(self, request: bytes, stdin: bytes = b"") -> ProcessResult:
        """Run one program and wait until it ends.

        Raises:
            SandboxError: if it cannot be started or limited, or the slot is closed.
        """
        with contextlib.ExitStack() as stack:
            result = self._start(stack, request, stdin).wait()
        self._check_open()
        return result

    def run_pair(self, judge: bytes, solver: bytes) -> tuple[ProcessResult, ProcessResult]:
        """Run a judge and a solver, connected to each other, until the judge ends.

        Raises:
            SandboxError: as for :meth:`run`.
        """
        sockets = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with sockets[0], sockets[1], contextlib.ExitStack() as stack:
            judge_process = self._start(stack, judge, b"", sockets[0])
            solver_process = self._start(stack, solver, b"", sockets[1])
            for connection in sockets:
                connection.close()  # so that each process notices when the other ends
            results = judge_process.wait(), solver_process.wait(kill=True)
        self._check_open()
        return results

    def close(self) -> None:
        """End a running program and refuse further runs."""
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


class _Process(Closing):
    """One running program with its files: stdin, stdout, stderr, request, report."""

    def __init__(self, limits: Limits, request: bytes, stdin: bytes, connection: socket.socket | None) -> None:
        self._limits = limits
        self._timed_out = False
        self._started = time.monotonic()
        with contextlib.ExitStack() as stack:
            self._files = [stack.enter_context(_file(content)) for content in (stdin, b"", b"", request, b"")]
            # The lifeline closes when this process dies, and the program's process then ends itself.
            self._lifeline, program_end = socket.socketpair()
            stack.enter_context(self._lifeline)
            with program_end:
                passed = [*(file.fileno() for file in self._files[3:]), program_end.fileno()]
                self._process = _popen(limits, self._files, passed + ([connection.fileno()] if connection else []))
            self._resources = stack.pop_all()
        self._timer = threading.Timer(limits.wall_seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def wait(self, *, kill: bool = False) -> ProcessResult:
        """Wait until the process ends, after killing it if ``kill`` is set.

        Raises:
            SandboxError: if the process ended before it reached the program.
        """
        if kill:
            self.kill()
        _, status, usage = os.wait4(self._process.pid, 0)
        self._timer.cancel()
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.kill()  # its children; the group id is not reused while one of them lives
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        stdout, stderr, report = (self._content(index) for index in (1, 2, 4))
        if not self._reached_program() and not (kill and number == signal.SIGKILL):
            raise SandboxError(f"the sandbox's interpreter did not start: {_last_line(stderr)}")
        cpu_s = usage.ru_utime + usage.ru_stime
        # The hard CPU limit kills a program that ignores SIGXCPU, with the same signal that we use.
        cpu_exceeded = number == signal.SIGXCPU or (
            number == signal.SIGKILL and not kill and cpu_s >= self._limits.cpu_seconds
        )
        kill_reason = template.CPU_EXCEEDED if cpu_exceeded else template.NOT_KILLED
        return ProcessResult(
            exit_code=None if number is not None else os.WEXITSTATUS(status),
            signal=number,
            kill_reason=template.WALL_EXCEEDED if self._timed_out else kill_reason,
            cpu_s=cpu_s,
            wall_s=time.monotonic() - self._started,
            # macOS counts bytes, Linux KiB.
            peak_rss_mb=usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
            report=report,
            stdout=stdout,
            stderr=stderr,
        )

    def kill(self) -> None:
        """Kill the program and its children, except those that left its session."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # all of them have ended

    def close(self) -> None:
        """Kill the program if it still runs, and close its files."""
        self._timer.cancel()
        if self._process.returncode is None:
            self.kill()
            self._process.wait()
        self._resources.close()

    def _reached_program(self) -> bool:
        self._lifeline.setblocking(False)
        try:
            return self._lifeline.recv(1) == plain.READY
        except BlockingIOError:
            return False  # one of its children holds the other end open

    def _content(self, index: int) -> bytes:
        return os.pread(self._files[index].fileno(), FILE_SIZE, 0)

    def _expire(self) -> None:
        self._timed_out = True
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
            [*INTERPRETER, "-c", BOOTSTRAP, json.dumps(options)],
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
    """Return an unnamed temporary file with some content, positioned at its start."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.write(content)
    file.seek(0)
    return file


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "no message"
