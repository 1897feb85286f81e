"""Base class of all groups of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict


class _Operational:
    """Type of :data:`OPERATIONAL`."""


OPERATIONAL: Final = _Operational()
"""Marker of a setting that does not affect what a run computes, used as ``Annotated[type, OPERATIONAL]``.

Prices, budgets, rates, deadlines and file locations carry it. A run resumes even if such a setting has changed.
"""


class Settings(BaseModel):
    """Base class of all settings: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def essentials(self) -> dict[str, Any]:
        """Return the settings that determine a run's numbers, as JSON values: all but :data:`OPERATIONAL` ones."""
        dumped = self.model_dump(mode="json")
        return {
            name: _essentials(getattr(self, name), dumped[name])
            for name, field in type(self).model_fields.items()
            if OPERATIONAL not in field.metadata
        }


def _essentials(value: Any, dumped: Any) -> Any:
    if isinstance(value, Settings):
        return value.essentials()
    if isinstance(value, Mapping):
        return {key: _essentials(child, dumped[key]) for key, child in value.items()}
    return dumped
