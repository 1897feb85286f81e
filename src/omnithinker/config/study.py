"""Settings of a study."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from omnithinker.config.base import Settings
from omnithinker.config.registry import SCHEDULES


class StudySettings(Settings):
    """Stages of ``omnithinker study`` besides the base evaluation and the single-task runs."""

    orders: tuple[str, ...] = ("best",)
    """Task orders of the curricula to train: ``best``, ``worst``, or task names joined by ``>``."""
    schedules: tuple[str, ...] = ("joint",)
    """Schedules to train all tasks under, on as many prompts as a curriculum: ``joint``, ``mixture``, ``adaptive``."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    """Seeds of the study; every training stage runs once per seed."""

    @field_validator("orders", "schedules", "seeds")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(value)) != len(value):
            raise ValueError("has the same entry twice")
        return value

    @field_validator("schedules")
    @classmethod
    def _unordered(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if SCHEDULES.load(name).ordered:
                raise ValueError(f"{name!r} needs a task order; list its orders in study.orders")
        return value
