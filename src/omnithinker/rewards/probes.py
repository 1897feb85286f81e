"""Probes: completions with a known reward, made from a row's gold fields, that ``check`` scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

UNLIKELY_ANSWER = "-987654.321"
"""Wrong answer for rows where no other row provides one."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One completion for a row, with its expected value."""

    name: str
    """Short label, such as ``gold answer``."""
    text: str
    """The completion."""
    expected: float | None
    """Value that the component must return; None if any defined value will do."""
    field: str
    """Row field that the completion was made from."""
    role: Literal["plain", "shown", "constant", "cheat"] = "plain"
    """``shown``: the value is only displayed, and may be undefined. ``constant``: if it scores 1, the row's tests are
    too weak to detect a ``cheat``, so the row's cheats are not counted."""


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """Context of a row that probes are made for."""

    position: int
    """Position among the rows that are probed, from 0."""
    other_rows: Sequence[Mapping[str, Any]]
    """Other rows of the task, whose gold answers may serve as wrong ones."""
    settings: Any
    """Settings of the component, an instance of the reward's ``Settings``."""


def formatted(answer: str) -> str:
    """Return a completion in the format of A.1 with this answer."""
    return f"<think> so </think> <answer> {answer} </answer>"


def fenced(program: str) -> str:
    """Return a program in a fenced block, on lines of its own."""
    return f"\n```python\n{program}\n```\n"
