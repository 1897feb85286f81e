"""What running a program says of it."""

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
    """Where the verdict was computed."""

    ISOLATED = "isolated"
    """By the trusted side, from data; the program never saw an expected value."""
    JUDGE = "judge"
    """By a process of its own that holds the tests and exchanges plain data with the program."""
    IN_PROCESS = "in_process"
    """In the program's own process: a hostile program can forge it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """One test of a program."""

    __test__ = False  # not a pytest class

    index: int
    """Position of the test, from 0."""
    status: Status
    """How it ended."""
    wall_s: float = 0.0
    """Seconds it took, as reported by the program's own process."""
    got: str | None = None
    """What came back, at most 300 characters; None when nothing did."""
    error: str | None = None
    """Why there is no result, one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A program with all its tests. It passed only if every expected test was reported and passed."""

    status: Status
    """``passed``, or what went wrong first."""
    passed: int
    """Tests passed."""
    total: int
    """Tests expected; above 0 unless the status is ``invalid_task``."""
    trust: Trust = Trust.ISOLATED
    """Where the verdict was computed."""
    tests: tuple[TestResult, ...] = ()
    """Tests that were reported, in order."""
    stdout: str = ""
    """What the program printed, at most 4 KiB: head and tail."""
    stderr: str = ""
    """The same for standard error."""
    truncated: bool = False
    """Whether something was cut out of ``stdout`` or ``stderr``."""
    wall_s: float = 0.0
    """Wall time of all processes of this program, seconds."""
    cpu_s: float = 0.0
    """Their CPU time, seconds."""
    peak_rss_mb: float = 0.0
    """Largest resident memory of one of them, MiB; includes the interpreter."""
    exit_code: int | None = None
    """Exit code of the last process; None when a signal ended it."""
    signal: int | None = None
    """Signal that ended it."""
    detail: str = ""
    """One line for people, for every status but ``passed``."""
    backend: str = ""
    """Which backend ran it."""
    layers: tuple[str, ...] = ()
    """Confinement layers that were seen to work."""
    retries: int = 0
    """Times the run was repeated because the sandbox itself had failed."""
    sandbox_version: int = 1
    """Raised when a change could change verdicts."""
