"""Settings of the adaptive schedule."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from omnithinker.config.base import Settings


class AdaptiveSettings(Settings):
    """How ``--schedule adaptive`` moves the tasks' shares with their recent training accuracy."""

    criterion: Literal["variance", "progress"] = "variance"
    """Which tasks get more: those whose accuracy is near one half, where groups differ most within themselves, or
    those whose accuracy changes most, up or down."""
    ema_steps: float = Field(10.0, ge=1)
    """Steps with a task over which its accuracy is averaged (the time constant of an exponential average)."""
    min_share: float = Field(0.2, gt=0, le=1)
    """What remains of a task's share when nothing speaks for it; 1 leaves all shares as they are."""
