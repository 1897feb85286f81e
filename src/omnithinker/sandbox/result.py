"""The result of running a program against tests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Outcome of a program, or of one of its tests."""

    PASSED = "passed"
    FAILED = "failed"
    COMPILE_ERROR = "compile_error"
    RUNTIME_ERROR = "runtime_error"
    TIMEOUT = "timeout"
    CPU_LIMIT = "cpu_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    CRASHED = "crashed"
    KILLED = "killed"
    EARLY_EXIT = "early_exit"
    TAMPERED = "tampered"
    INVALID_TASK = "invalid_task"
    SANDBOX_ERROR = "sandbox_error"


class Trust(StrEnum):
    """Process that computed the verdict."""

    ISOLATED = "isolated"
    """The trainer's process, from data; the program never saw an expected value."""
    JUDGE = "judge"
    """A separate process that holds the tests and exchanges plain data with the program."""
    IN_PROCESS = "in_process"
    """The program's own process; a hostile program can forge the verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """Result of one test."""

    __test__ = False  # not a pytest class

    index: int
    """Position of the test, from 0."""
    status: Status
    """Outcome of the test."""
    wall_s: float = 0.0
    """Wall time, seconds, as reported by the program's own process."""
    got: str | None = None
    """Returned or printed value, at most 300 characters; None if there is none."""
    error: str | None = None
    """Reason for a missing value, one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Result of a program on all its tests. It passes only if every expected test is reported and passes."""

    status: Status
    """``passed``, or the first failure."""
    passed: int
    """Number of tests passed."""
    total: int
    """Number of tests expected; above 0 unless the status is ``invalid_task``."""
    trust: Trust = Trust.ISOLATED
    """Process that computed the verdict."""
    tests: tuple[TestResult, ...] = ()
    """Reported tests, in order."""
    stdout: str = ""
    """Head and tail of standard output, at most 4 KiB."""
    stderr: str = ""
    """Head and tail of standard error, at most 4 KiB."""
    truncated: bool = False
    """True if ``stdout`` or ``stderr`` is shortened."""
    wall_s: float = 0.0
    """Wall time of all processes of this program, seconds."""
    cpu_s: float = 0.0
    """CPU time of all processes of this program, seconds."""
    peak_rss_mb: float = 0.0
    """Peak resident memory of the largest process, MiB; includes the interpreter."""
    exit_code: int | None = None
    """Exit code of the last process; None if a signal ended it."""
    signal: int | None = None
    """Signal that ended the last process."""
    detail: str = ""
    """One-line explanation for every status except ``passed``."""
    backend: str = ""
    """Backend that ran the program."""
    layers: tuple[str, ...] = ()
    """Confinement layers verified to work."""
    retries: int = 0
    """Repetitions because the sandbox itself failed."""
