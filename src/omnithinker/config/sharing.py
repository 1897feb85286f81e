"""Settings that may leave this machine."""

from __future__ import annotations

from typing import Any

from omnithinker.config.recipe import Recipe


def shareable_settings(recipe: Recipe) -> dict[str, Any]:
    """Return the settings as JSON values without addresses and commands, which may contain passwords."""
    settings = recipe.model_dump(mode="json", exclude_none=True)
    settings["sandbox"].pop("target", None)
    for judge in settings["judges"].values():
        judge.pop("base_url", None)
    return settings
