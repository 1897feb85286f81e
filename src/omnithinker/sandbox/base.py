"""What every backend offers."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Protocol, Self

from omnithinker.sandbox.cases import Tests
from omnithinker.sandbox.result import Result


def usable_cores() -> int:
    """Cores that this process may run on, where the system tells (Linux); else those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Sandbox(Protocol):
    """Runs programs that must not be trusted. All methods are safe to call from several threads."""

    @property
    def level(self) -> str:
        """``strong`` or ``weak``, as verified on this machine."""
        ...

    @property
    def layers(self) -> tuple[str, ...]:
        """Confinement layers that were seen to work."""
        ...

    @property
    def slots(self) -> int:
        """Programs that run at the same time; further callers wait."""
        ...

    def run(self, code: str, tests: Tests, *, stop_early: bool = False) -> Result:
        """Run a program against tests, waiting for a free slot if need be.

        Args:
            code: Python source.
            tests: see :func:`omnithinker.sandbox.parse_tests`.
            stop_early: leave out remaining tests once one has failed, where each has its own process.

        Returns:
            The result. A failure of the sandbox itself is the status ``sandbox_error``, after one retry.

        Raises:
            SandboxError: the sandbox was closed, or is used from a forked process.
        """
        ...

    def close(self) -> None:
        """End all processes; runs still waiting fail."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
