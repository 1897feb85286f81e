"""Result of a check: sections with data, problems and notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a check."""

    name: str
    """``recipe``, ``model``, ``data``, ``prompts``, ``rewards``, ``sandbox``, ``judges``, ``trackers``, ``memory``,
    ``tokens`` or ``samples``."""
    data: Mapping[str, Any]
    """Measurements, as JSON values."""
    problems: tuple[str, ...] = ()
    """Problems that must be fixed before training, one line each."""
    notes: tuple[str, ...] = ()
    """Remarks that may be ignored, one line each."""


@dataclass(frozen=True, slots=True)
class Report:
    """All sections of a check."""

    sections: tuple[Section, ...]

    @property
    def ok(self) -> bool:
        """True if no section has a problem."""
        return not self.problems

    @property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """Problems of all sections, as (name of the section, problem)."""
        return tuple((section.name, problem) for section in self.sections for problem in section.problems)

    def __getitem__(self, name: str) -> Section:
        for section in self.sections:
            if section.name == name:
                return section
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """Return ``ok``, the problems, and data, problems and notes by section."""
        return {
            "ok": self.ok,
            "problems": [{"section": name, "problem": problem} for name, problem in self.problems],
            **{
                section.name: {**section.data, "problems": list(section.problems), "notes": list(section.notes)}
                for section in self.sections
            },
        }
