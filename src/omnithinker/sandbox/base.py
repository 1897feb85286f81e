"""The protocol that every backend implements."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Protocol

from omnithinker.sandbox.cases import Tests
from omnithinker.sandbox.result import Result


def usable_cores() -> int:
    """Return the number of cores this process may use: its CPU affinity on Linux, else the machine's count."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Sandbox(AbstractContextManager["Sandbox", None], Protocol):
    """Runs untrusted programs. All methods are thread-safe."""

    @property
    def level(self) -> str:
        """Confinement verified on this machine: ``strong`` or ``weak``."""
        ...

    @property
    def layers(self) -> tuple[str, ...]:
        """Confinement layers verified to work."""
        ...

    @property
    def slots(self) -> int:
        """Maximum number of concurrent programs; further callers block."""
        ...

    def run(self, code: str, tests: Tests, *, stop_early: bool = False) -> Result:
        """Run a program against tests. Blocks until a slot is free.

        Args:
            code: Python source.
            tests: see :func:`omnithinker.sandbox.parse_tests`.
            stop_early: skip the remaining tests after the first failure, where each test has its own process.

        Returns:
            The result. A failure of the sandbox itself gives the status ``sandbox_error``, after one retry.

        Raises:
            SandboxError: if the sandbox is closed, or is used from a forked process.
        """
        ...

    def close(self) -> None:
        """End all processes. Runs in progress fail."""
        ...
