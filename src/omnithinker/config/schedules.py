"""Settings of schedules: one group per registered schedule that has settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import create_model

from omnithinker.config.base import Settings
from omnithinker.config.registry import SCHEDULES

if TYPE_CHECKING:
    ScheduleSettings = Settings
else:

    def _groups() -> dict[str, Any]:
        classes = {name: SCHEDULES.load(name).settings_class for name in SCHEDULES}
        return {name: (settings, settings()) for name, settings in classes.items() if settings is not None}

    ScheduleSettings = create_model(
        "ScheduleSettings", __base__=Settings, __doc__="Settings of schedules, one group per schedule.", **_groups()
    )
