"""Base of all groups of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict


class _Operational:
    """Type of :data:`OPERATIONAL`."""


OPERATIONAL: Final = _Operational()
"""Marks a setting, as ``Annotated[type, OPERATIONAL]``, that says how a run is carried out and not what it computes:
prices, budgets, rates, deadlines, places of files. A run may go on when it changes."""


class Settings(BaseModel):
    """Base of all settings: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def essentials(self) -> dict[str, Any]:
        """What decides the numbers of a run, as JSON values: every setting but those marked :data:`OPERATIONAL`."""
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
