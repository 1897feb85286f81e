"""Settings of a study."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from omnithinker.config.base import Settings


class StudySettings(Settings):
    """What ``omnithinker study`` runs beyond the base evaluation and the single-task runs."""

    orders: tuple[str, ...] = ("best",)
    """Curricula to train: ``best``, ``worst``, or task names joined by ``>``."""
    joint: bool = True
    """Train all tasks mixed, on the same number of samples."""
    seeds: tuple[int, ...] = (0,)
    """Each seed repeats every training run."""

    @field_validator("orders", "seeds")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(value)) != len(value):
            raise ValueError("has the same entry twice")
        return value
