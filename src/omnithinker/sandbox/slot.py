"""The owner's side of one fork server: start it in a fresh interpreter, send it runs, replace it when it dies."""

from __future__ import annotations

import contextlib
import json
import mimetypes
import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnithinker.errors import SandboxError
from omnithinker.io.closing import Closing
from omnithinker.sandbox.inside import template

FILE_SIZE = 4 << 20
"""Maximum size of each of a program's outputs and of its report, bytes."""
_START_SECONDS = 60.0
_GRACE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one process."""

    cpu_seconds: float
    """CPU time, seconds."""
    memory_mb: int
    """Address space, MiB."""
    preload: tuple[str, ...] = ()
    """Modules imported before programs run."""
    outer_command: tuple[str, ...] = ()
    """Command line of an outer jail that the fork server starts in."""
    in_process_tests: bool = False
    """True if ``unittest`` classes are accepted; their module is then imported in advance."""

    @property
    def wall_seconds(self) -> float:
        """Wall time, seconds: a backstop for programs that sleep, long enough for a busy machine."""
        return 3 * self.cpu_seconds + 2


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """Exit status, resource use and output of a finished process."""

    exit_code: int | None
    """Exit code; None if a signal ended the process."""
    signal: int | None
    """Signal that ended the process."""
    kill_reason: bytes
    """One of the template's ``NOT_KILLED``, ``CPU_EXCEEDED``, ``WALL_EXCEEDED``."""
    cpu_s: float
    """CPU time, seconds."""
    wall_s: float
    """Wall time, seconds."""
    peak_rss_mb: float
    """Peak resident memory, MiB."""
    report: bytes
    """Report lines, written by the program's process."""
    stdout: bytes
    """Standard output."""
    stderr: bytes
    """Standard error."""


class Slot(Closing):
    """A fork server that runs one program at a time. Not thread-safe.

    Raises:
        SandboxError: if the interpreter does not start.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._judges: Slot | None = None
        self.layers: tuple[str, ...] = ()
        self.problems: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._start()

    @property
    def process_ids(self) -> list[int]:
        """Process ids of the running fork servers: the programs', and the judges' once there was a judge."""
        own = [] if self._process is None else [self._process.pid]
        return own + (self._judges.process_ids if self._judges is not None else [])

    def run(self, request: bytes, stdin: bytes = b"") -> ProcessResult:
        """Run one child on a request and wait until it ends.

        Raises:
            SandboxError: if the fork server dies or does not answer; the next run starts a new one.
        """
        with _files(stdin, request) as files, self._replaced_on_error():
            self._send(template.ALONE, files)
            return _process_result(self._outcome(), files)

    def run_pair(self, judge: bytes, solver: bytes) -> tuple[ProcessResult, ProcessResult]:
        """Run a judge and a solver, connected to each other, until the judge ends.

        Judges have a fork server of their own: children of one fork server share the layout of their memory, and a
        program that knows its own addresses would know those of its judge.

        Raises:
            SandboxError: as for :meth:`run`.
        """
        judges = self._judge_server()
        sockets = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with (
            sockets[0],
            sockets[1],
            _files(b"", judge) as judge_files,
            _files(b"", solver) as solver_files,
            self._replaced_on_error(),
            judges._replaced_on_error(),
        ):
            judges._send(template.ALONE, [*judge_files, sockets[0].fileno()])
            self._send(template.ENDS_WITH_PEER, [*solver_files, sockets[1].fileno()])
            for connection in sockets:
                connection.close()  # so that each process notices when the other ends
            outcomes = judges._outcome(), self._outcome()
            return _process_result(outcomes[0], judge_files), _process_result(outcomes[1], solver_files)

    def _judge_server(self) -> Slot:
        if self._judges is None:
            self._judges = Slot(self.limits)
        if self._closed:
            self._judges.close()
        return self._judges

    def close(self) -> None:
        """End the fork server permanently; a running child dies with it."""
        self._closed = True
        self._discard()
        if self._judges is not None:
            self._judges.close()

    def _discard(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self._control.close()
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()

    def _send(self, request: bytes, descriptors: Sequence[int]) -> None:
        if self._closed:
            raise SandboxError("the sandbox is closed")
        if self._process is None:
            self._start()
        socket.send_fds(self._control, [request], descriptors)

    def _outcome(self) -> bytes:
        answer = self._control.recv(1024)
        if len(answer) != template.OUTCOME.size:
            raise SandboxError("the fork server died")
        return answer

    @contextlib.contextmanager
    def _replaced_on_error(self) -> Iterator[None]:
        """End the fork server on any failure: a later run would read the answer of this one."""
        try:
            yield
        except OSError as error:
            self._discard()
            raise SandboxError(f"the fork server does not answer: {error}") from error
        except BaseException:
            self._discard()
            raise

    def _start(self) -> None:
        self._control, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with server_end:
            # A new interpreter with an empty environment inherits nothing of this process (memory, tokens).
            self._process = subprocess.Popen(
                [*self.limits.outer_command, *INTERPRETER, "-c", _BOOTSTRAP, _options(server_end, self.limits)],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[server_end.fileno()],
                cwd="/",
                start_new_session=True,
            )
        self._control.settimeout(_START_SECONDS)
        try:
            greeting = self._control.recv(1 << 16)
        except OSError:
            greeting = b""
        if not greeting:
            self._fail_to_start()
        probe = json.loads(greeting)
        self.layers, self.problems = tuple(probe["layers"]), tuple(probe["problems"])
        self._control.settimeout(self.limits.wall_seconds + _GRACE_SECONDS)

    def _fail_to_start(self) -> None:
        process = self._process
        assert process is not None
        assert process.stderr is not None
        process.kill()
        lines = process.stderr.read().decode(errors="replace").strip().splitlines()
        self._discard()
        raise SandboxError(f"the sandbox's interpreter did not start: {lines[-1] if lines else 'no message'}")


ENVIRONMENT = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LD_BIND_NOW": "1"}
"""Environment of every interpreter: a fixed set order, no threads in numerical libraries, and symbols bound once at the
start instead of in every child."""

INTERPRETER = (sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8")


def bootstrap(module: str) -> str:
    """Return a program that runs one module of :mod:`.inside` and can import nothing else of the package."""
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


_BOOTSTRAP = bootstrap("template")


def _options(control: socket.socket, limits: Limits) -> str:
    paths = sysconfig.get_paths()
    dynamic = sysconfig.get_config_var("DESTSHARED")
    standard = list(dict.fromkeys([paths["stdlib"], *([dynamic] if dynamic else [])]))
    # Installed packages, this one among them, are unreadable unless the recipe preloads some.
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


_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", *mimetypes.knownfiles)
"""Shared libraries, time zones and file types."""


def _standard_library(folders: Sequence[str]) -> list[str]:
    # Every rule costs each child time, and a rule for a folder covers its contents.
    topmost = [folder for folder in folders if not any(Path(other) in Path(folder).parents for other in folders)]
    entries = [entry for folder in topmost if os.path.isdir(folder) for entry in Path(folder).iterdir()]
    entries += Path(sys.base_prefix, "lib").glob("*.so*")
    return [str(entry) for entry in entries if entry.name not in ("site-packages", "dist-packages")]


def _process_result(outcome: bytes, files: Sequence[int]) -> ProcessResult:
    status, cpu, wall, peak_kib, reason = template.OUTCOME.unpack(outcome)
    stdout, stderr, report = (_content(files[index]) for index in (1, 2, 4))
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    code = os.WEXITSTATUS(status) if number is None else None
    if number == template.SETUP_FAILED:
        raise SandboxError(f"a program could not be confined: {stderr[:300].decode(errors='replace')}")
    return ProcessResult(code, number, reason, cpu, wall, peak_kib / 1024, report, stdout, stderr)


@contextlib.contextmanager
def _files(stdin: bytes, request: bytes) -> Iterator[list[int]]:
    """Create a child's files: standard input, output and error, request, report."""
    files: list[int] = []
    try:
        files += map(_anonymous_file, (stdin, b"", b"", request, b""))
        yield files
    finally:
        for file in files:
            os.close(file)


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
