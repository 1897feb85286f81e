"""What a check found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a check."""

    name: str
    """``recipe``, ``model``, ``data``, ``rewards``, ``sandbox``, ``judges``, ``trackers``, ``memory`` or ``tokens``."""
    data: Mapping[str, Any]
    """What was found, fit for JSON."""
    problems: tuple[str, ...] = ()
    """What keeps the recipe from working as meant, one line each."""
    notes: tuple[str, ...] = ()
    """What the user should know, one line each."""


@dataclass(frozen=True, slots=True)
class Report:
    """All sections of a check."""

    sections: tuple[Section, ...]

    @property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """(Name of the section, problem), of all sections."""
        return tuple((section.name, problem) for section in self.sections for problem in section.problems)

    def to_json(self) -> dict[str, Any]:
        """Everything by section, with ``ok`` and the list of problems."""
        return {
            "ok": not self.problems,
            "problems": [{"section": name, "problem": problem} for name, problem in self.problems],
            **{
                section.name: {**section.data, "problems": list(section.problems), "notes": list(section.notes)}
                for section in self.sections
            },
        }
