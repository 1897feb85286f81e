"""Tests of programs: their kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omnithinker.sandbox.compare import TOLERANCE


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the function under test and what it must return."""

    arguments: tuple[Any, ...]
    """Positional arguments, plain data."""
    expected: Any
    """Plain data; never sent to the program."""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments."""


@dataclass(frozen=True, slots=True)
class CallTests:
    """Calls of one function, or of one method of a new ``Solution`` each time."""

    fn_name: str
    """``name``, or ``Class.name`` for a method of another class."""
    calls: tuple[Call, ...]
    """At least one."""
    tolerance: float = TOLERANCE
    """See :func:`omnithinker.sandbox.compare.same_value`."""

    def __len__(self) -> int:
        return len(self.calls)


@dataclass(frozen=True, slots=True)
class StdioTests:
    """Whole-program runs: text on standard input, expected text on standard output."""

    inputs: tuple[str, ...]
    """[n] standard input of each test."""
    outputs: tuple[str, ...]
    """[n] expected standard output, never sent to the program."""

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True)
class AssertTests:
    """Test code that calls the program and asserts; it runs in a process of its own, the judge."""

    sources: tuple[str, ...]
    """[n] each is one test, run after ``preamble`` in one namespace."""
    preamble: str = ""
    """Definitions that the tests share."""
    entry_point: str | None = None
    """Function that the tests know as ``candidate``, and that may bear the name of a built-in one."""

    def __len__(self) -> int:
        return len(self.sources)


@dataclass(frozen=True, slots=True)
class UnittestTests:
    """Classes of ``unittest``, run in the program's own process: a hostile program can forge the verdict."""

    source: str
    """Defines the classes; sees the program's names."""
    names: tuple[str, ...]
    """[n] ``Class.method`` of every test, read from the source and not from what ran."""

    def __len__(self) -> int:
        return len(self.names)


Tests = CallTests | StdioTests | AssertTests | UnittestTests
"""What :meth:`Sandbox.run` takes."""
