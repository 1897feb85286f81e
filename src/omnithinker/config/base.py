"""Base class of all groups of settings."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Final, LiteralString, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError


class _Operational:
    """Type of :data:`OPERATIONAL`."""


OPERATIONAL: Final = _Operational()
"""Marker of a setting that does not affect what a run computes, used as ``Annotated[type, OPERATIONAL]``.

Prices, budgets, rates, deadlines and file locations carry it. A run resumes even if such a setting has changed.
"""


LARGEST, SMALLEST = 10.0**12, 1e-12
"""Range of the size of a number other than 0: no setting is meant beyond it, and clocks and arrays fail there."""


class Settings(BaseModel):
    """Base class of all settings: frozen, and strict about unknown keys and absurd values."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _plausible(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        problems = {
            name: problem
            for name, field in cls.model_fields.items()
            if name in values and (problem := _problem(values[name], _types_in(field.annotation)))
        }
        if problems:
            errors = [
                InitErrorDetails(type=PydanticCustomError("implausible", message), loc=(name,), input=None)
                for name, message in problems.items()
            ]
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return values

    def essentials(self) -> dict[str, Any]:
        """Return the settings that determine a run's numbers, as JSON values: all but :data:`OPERATIONAL` ones."""
        dumped = self.model_dump(mode="json")
        return {
            name: _essentials(getattr(self, name), dumped[name])
            for name, field in type(self).model_fields.items()
            if OPERATIONAL not in field.metadata
        }


def _types_in(annotation: Any) -> set[Any]:
    """Return the plain types that an annotation consists of."""
    return {annotation}.union(*map(_types_in, get_args(annotation))) if get_args(annotation) else {annotation}


def _problem(value: Any, types: Set[Any]) -> LiteralString | None:
    """Return what is wrong with a setting that is a number or a text, or a list of some."""
    for item in value if isinstance(value, list | tuple) else (value,):
        if isinstance(item, bool) and bool not in types and types & {int, float}:
            return "input should be a number, not true or false"
        if isinstance(item, int | float) and item != 0 and not SMALLEST <= abs(item) <= LARGEST:
            return "not a plausible number; the size of numbers is from 1e-12 to 1e12, or 0"
        if isinstance(item, str) and "\0" in item:
            return "must not contain a null character"
    return None


def _essentials(value: Any, dumped: Any) -> Any:
    if isinstance(value, Settings):
        return value.essentials()
    if isinstance(value, Mapping):
        return {key: _essentials(child, dumped[key]) for key, child in value.items()}
    return dumped
