"""One fork server as its owner sees it: start it in a fresh interpreter, send it runs, replace it when it dies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omnithinker.errors import SandboxError
from omnithinker.sandbox.inside import template

FILE_SIZE = 4 << 20
"""Most that a program may write to its output or its report, bytes each."""
_START_SECONDS = 60.0
_GRACE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process may use."""

    cpu_seconds: float
    memory_mb: int
    preload: tuple[str, ...] = ()
    outer: tuple[str, ...] = ()
    """Command line of an outer jail that the fork server is started in."""
    in_process_tests: bool = False
    """Whether ``unittest`` classes are accepted, and so made ready for."""

    @property
    def wall_seconds(self) -> float:
        """Backstop for programs that sleep; generous, so that a busy machine changes no verdict."""
        return 3 * self.cpu_seconds + 2


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended and what it left."""

    exit_code: int | None
    """None when a signal ended it."""
    signal: int | None
    """The signal."""
    killed_for: bytes
    """One of the template's ENDED, CPU, WALL."""
    cpu_s: float
    wall_s: float
    peak_rss_mb: float
    report: bytes
    stdout: bytes
    stderr: bytes


class Slot:
    """A fork server; runs one program at a time. Not safe for several threads at once.

    Raises:
        SandboxError: the interpreter could not be started.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.layers: tuple[str, ...] = ()
        self.problems: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._start()

    @property
    def process_id(self) -> int:
        """Process id of the fork server.

        Raises:
            SandboxError: it is not running.
        """
        if self._process is None:
            raise SandboxError("the fork server is not running")
        return self._process.pid

    def run(self, request: bytes, stdin: bytes = b"") -> Ended:
        """Run one child on a request and wait for its end.

        Raises:
            SandboxError: the fork server died or did not answer; the next run starts a new one.
        """
        [ended] = self._run([[stdin, b"", b"", request, b""]], [])
        return ended

    def run_pair(self, judge: bytes, solver: bytes) -> tuple[Ended, Ended]:
        """Run a judge and a solver, connected to each other, until the judge ends.

        Raises:
            SandboxError: as for :meth:`run`.
        """
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ends[0], ends[1]:
            contents = [[b"", b"", b"", request, b""] for request in (judge, solver)]
            first, second = self._run(contents, ends)
        return first, second

    def _run(self, contents: Sequence[Sequence[bytes]], connections: Sequence[socket.socket]) -> list[Ended]:
        files: list[list[int]] = [[] for _ in contents]
        try:
            for mine, texts in zip(files, contents, strict=True):
                for text in texts:
                    mine.append(_anonymous_file(text))
            answer = self._exchange(files, connections)
            return [_ended(outcome, mine) for outcome, mine in zip(_split(answer), files, strict=True)]
        finally:
            for mine in files:
                for file in mine:
                    os.close(file)

    def close(self) -> None:
        """End the fork server for good; a running child dies with it."""
        self._closed = True
        self._discard()

    def _discard(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self._control.close()
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()

    def _exchange(self, files: Sequence[Sequence[int]], connections: Sequence[socket.socket]) -> bytes:
        if self._closed:
            raise SandboxError("the sandbox is closed")
        if self._process is None:
            self._start()
        header = template.HEADER.pack(len(files))
        ends = [[end.fileno()] for end in connections] or [[]]
        sent = [file for mine, end in zip(files, ends, strict=True) for file in (*mine, *end)]
        try:
            socket.send_fds(self._control, [header], sent)
            for connection in connections:
                connection.close()  # so that each process sees when the other ends
            answer = self._control.recv(1024)
        except OSError as error:
            self._discard()
            raise SandboxError(f"the fork server does not answer: {error}") from error
        except BaseException:
            self._discard()  # an interrupted run's answer must not be taken for the next one's
            raise
        if len(answer) != template.OUTCOME.size * len(files):
            self._discard()
            raise SandboxError("the fork server died")
        return answer

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # A new interpreter with an empty environment: nothing of this process (memory, tokens) is inherited.
            self._process = subprocess.Popen(
                [*self.limits.outer, *INTERPRETER, "-c", _BOOT, _options(theirs, self.limits)],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                cwd="/",
                start_new_session=True,
            )
        self._control.settimeout(_START_SECONDS)
        try:
            hello = self._control.recv(1 << 16)
        except OSError:
            hello = b""
        if not hello:
            self._fail_to_start()
        found = json.loads(hello)
        self.layers, self.problems = tuple(found["layers"]), tuple(found["problems"])
        self._control.settimeout(self.limits.wall_seconds + _GRACE_SECONDS)

    def _fail_to_start(self) -> None:
        process = self._process
        assert process is not None
        assert process.stderr is not None
        process.kill()
        message = process.stderr.read().decode(errors="replace").strip().splitlines()
        self._discard()
        raise SandboxError(f"the sandbox's interpreter did not start: {message[-1] if message else 'no message'}")


ENVIRONMENT = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LD_BIND_NOW": "1"}
"""The same program gives the same set order in every slot; numerical libraries start no threads; symbols of libraries
are looked up once, at the start, and not in every child."""

INTERPRETER = (sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8")


def boot(module: str) -> str:
    """Program that imports a module of :mod:`.inside` alone and runs it: the rest of the package is not importable."""
    return f"""
import json, sys, types
for name, path in (("omnithinker", []), ("omnithinker.sandbox", [{str(Path(template.__file__).parents[1])!r}])):
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = path
from omnithinker.sandbox.inside import {module}
if json.loads(sys.argv[1])["in_process_tests"]:
    from omnithinker.sandbox.inside import unittests
sys.modules["omnithinker.sandbox"].__path__ = sys.modules["omnithinker.sandbox.inside"].__path__ = []
{module}.main()
"""


_BOOT = boot("template")


def _options(control: socket.socket, limits: Limits) -> str:
    paths = sysconfig.get_paths()
    dynamic = sysconfig.get_config_var("DESTSHARED")
    standard = list(dict.fromkeys([paths["stdlib"], *([dynamic] if dynamic else [])]))
    # Installed packages (this one among them) are out of reach unless the recipe asks for some.
    third_party = [paths["purelib"], paths["platlib"]] if limits.preload else []
    return json.dumps(
        {
            "control": control.fileno(),
            "path": list(dict.fromkeys(third_party)),
            "listable": standard,
            "readable": [*_standard_library(standard), *third_party, *_SYSTEM],
            "preload": list(limits.preload),
            "in_process_tests": limits.in_process_tests,
            "memory": limits.memory_mb << 20,
            "file_size": FILE_SIZE,
            "cpu_seconds": limits.cpu_seconds,
            "wall_seconds": limits.wall_seconds,
        }
    )


_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")
"""Shared libraries and time zones."""


def _standard_library(folders: Sequence[str]) -> list[str]:
    # Every rule costs a child time; one for a folder holds for what is in it.
    apart = [folder for folder in folders if not any(Path(other) in Path(folder).parents for other in folders)]
    entries = [entry for folder in apart if os.path.isdir(folder) for entry in Path(folder).iterdir()]
    entries += Path(sys.base_prefix, "lib").glob("*.so*")
    return [str(entry) for entry in entries if entry.name not in ("site-packages", "dist-packages")]


def _ended(outcome: bytes, files: Sequence[int]) -> Ended:
    status, cpu, wall, peak_kib, reason = template.OUTCOME.unpack(outcome)
    stdout, stderr, report = (_content(files[index]) for index in (1, 2, 4))
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    code = os.WEXITSTATUS(status) if number is None else None
    if number == template.SETUP_FAILED:
        raise SandboxError(f"a program could not be confined: {stderr[:300].decode(errors='replace')}")
    return Ended(code, number, reason, cpu, wall, peak_kib / 1024, report, stdout, stderr)


def _split(answer: bytes) -> list[bytes]:
    size = template.OUTCOME.size
    return [answer[start : start + size] for start in range(0, len(answer), size)]


def _anonymous_file(content: bytes) -> int:
    file = os.memfd_create("sandbox")
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
    if content:
        os.lseek(file, 0, os.SEEK_SET)
    return file


def _content(file: int) -> bytes:
    return os.pread(file, FILE_SIZE, 0)
