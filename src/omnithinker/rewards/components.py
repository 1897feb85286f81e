"""Building a task's reward components from the settings in a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import REWARDS
from omnithinker.config.rewards import RewardSettings
from omnithinker.errors import RecipeError
from omnithinker.rewards.base import Component, Reward
from omnithinker.rewards.resources import Resources


def reward_class(settings: RewardSettings) -> type[Reward]:
    """Return the registered class of a component."""
    reward: type[Reward] = REWARDS.load(settings.kind.partition(":")[0])
    return reward


def build_components(task: str, rewards: Mapping[str, RewardSettings], resources: Resources) -> tuple[Component, ...]:
    """Build the reward components of a task.

    Raises:
        RecipeError: if a component cannot be built, or none is primary.
    """
    components = tuple(build_component(task, name, settings, resources) for name, settings in rewards.items())
    if not any(component.primary for component in components):
        raise RecipeError(f"tasks.{task}.rewards: no primary component; add one, or set primary = true on one")
    return components


def build_component(task: str, name: str, settings: RewardSettings, resources: Resources) -> Component:
    """Build one reward component of a task.

    Raises:
        RecipeError: if the component cannot be built.
    """
    reward = reward_class(settings)
    return Component(
        name,
        reward.build(settings, f"tasks.{task}.rewards.{name}", resources),
        settings.weight,
        settings.primary,
        deadline_s=settings.deadline_s,
        on_error=settings.on_error,
        threads=reward.threads,
    )


def check_row(rewards: Mapping[str, RewardSettings], row: Mapping[str, Any], place: str) -> None:
    """Check that a row has the fields that its task's rewards require.

    Args:
        rewards: Settings of the task's components.
        row: Data row.
        place: File and line of the row, for messages.

    Raises:
        DataError: if a field is missing or has an invalid value.
    """
    for settings in rewards.values():
        reward_class(settings).check_row(row, place)


def refusal(recipe: Recipe, task: str, row: Mapping[str, Any]) -> str | None:
    """Return the reason that no primary component of a task can judge a valid row; None if one can."""
    reasons = [
        reward_class(settings).refusal(row, recipe)
        for settings in recipe.tasks[task].rewards.values()
        if settings.primary
    ]
    return next(iter(reasons), None) if all(reasons) else None


def gold_fields(rewards: Mapping[str, RewardSettings]) -> list[str]:
    """Return the names of the row fields with gold answers, in the order of the components."""
    return [field for settings in rewards.values() if (field := reward_class(settings).gold_field()) is not None]
