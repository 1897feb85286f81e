"""The kinds of tests that a program can be run against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omnithinker.sandbox.compare import TOLERANCE


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the function under test, with its expected return value."""

    arguments: tuple[Any, ...]
    """Positional arguments, plain data."""
    expected: Any
    """Plain data; never sent to the program."""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments."""


@dataclass(frozen=True, slots=True)
class CallTests:
    """Calls of one function, or of one method on a new ``Solution`` object per call."""

    fn_name: str
    """``name``, or ``Class.name`` for a method of another class."""
    calls: tuple[Call, ...]
    """One or more calls."""
    tolerance: float = TOLERANCE
    """See :func:`omnithinker.sandbox.compare.same_value`."""

    def __len__(self) -> int:
        return len(self.calls)


@dataclass(frozen=True, slots=True)
class StdioTests:
    """Runs of the whole program, with standard input and expected standard output."""

    inputs: tuple[str, ...]
    """[n] standard inputs."""
    outputs: tuple[str, ...]
    """[n] expected standard outputs; never sent to the program."""

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True)
class AssertTests:
    """Test code that calls the program and asserts; runs in a separate process, the judge."""

    sources: tuple[str, ...]
    """[n] tests, run in order in one namespace after ``preamble``."""
    preamble: str = ""
    """Definitions shared by the tests."""
    entry_point: str | None = None
    """Function that the tests call ``candidate``; may share its name with a built-in."""

    def __len__(self) -> int:
        return len(self.sources)


@dataclass(frozen=True, slots=True)
class UnittestTests:
    """``unittest`` classes, run in the program's own process: a hostile program can forge the verdict."""

    source: str
    """Source of the classes; runs in the program's namespace."""
    names: tuple[str, ...]
    """[n] test names ``Class.method``, read from the source rather than from the run."""

    def __len__(self) -> int:
        return len(self.names)


Tests = CallTests | StdioTests | AssertTests | UnittestTests
"""Any tests that :meth:`Sandbox.run` accepts."""
