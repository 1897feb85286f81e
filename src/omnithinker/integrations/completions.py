"""Scores of completions from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.data.sources import shaped
from omnithinker.errors import BadInput, DataError
from omnithinker.integrations.recipe_rewards import RecipeRewards
from omnithinker.rewards.answers import found_answers
from omnithinker.tasks.messages import check_text, read_messages
from omnithinker.types import Prompt, RolloutGroup, Score, Trajectory

COMPLETION = "completion"
"""Field of a row that holds the text to score."""


def score_completions(
    recipe: Recipe | str | Path, rows: Iterable[Mapping[str, Any]], *, task: str | None = None
) -> list[Score]:
    """Score completions with the rewards of a recipe.

    Sandboxes and connections to judges are opened for this call.
    :class:`omnithinker.integrations.recipe_rewards.RecipeRewards` keeps them open between calls.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        rows: one per completion, with the text in ``completion`` and the fields that the task's rewards read.
        task: task of all rows; by default each row names its own in ``task``, unless the recipe has only one.

    Returns:
        One score per row, in their order.

    Raises:
        DataError: if a row lacks a field, or one has a wrong type.
        BadInput: if there is no task of that name.
    """
    with RecipeRewards(recipe, details=True) as rewards:
        task = None if task is None else rewards.task_of(task)
        futures = [submit_row(row, number, rewards, task, f"row {number}") for number, row in enumerate(rows)]
        return [detailed_score(future.result(), rewards.recipe) for future in futures]


def submit_row(
    row: Mapping[str, Any], number: int, rewards: RecipeRewards, task: str | None, place: str
) -> Future[RolloutGroup]:
    """Start scoring one completion.

    Args:
        row: text in ``completion``, and the fields that the task's rewards read.
        number: position of the row, from 0.
        rewards: score it.
        task: task of the row; None if it names its own.
        place: the row's place, for messages.

    Returns:
        A future of the scored group of one completion.

    Raises:
        DataError: if a field is missing or has a wrong type.
    """
    if not isinstance(row, Mapping) or not isinstance(row.get(COMPLETION), str):
        raise DataError(f'{place}: expected a JSON object with a text field "{COMPLETION}"')
    tasks = rewards.recipe.tasks
    name = row.get("task") if task is None else task
    if name is None and len(tasks) > 1:
        raise DataError(f'{place}: no field "task"; add it, or select one task for all rows: {", ".join(tasks)}')
    try:
        name = rewards.task_of(name)
    except BadInput as error:
        raise DataError(f"{place}: {error}") from error
    fields = shaped({key: value for key, value in row.items() if key != COMPLETION}, tasks[name], place)
    prompt = Prompt(task=name, index=number, text=_asked(fields, place), row=fields)
    return rewards.submit(prompt, [Trajectory(text=row[COMPLETION], seed=number + 1)], place=place)


def detailed_score(group: RolloutGroup, recipe: Recipe) -> Score:
    """Return the score of a group of one completion, with the answer that each component found in its details."""
    score, rewards = group.scores[0], recipe.tasks[group.prompt.task].rewards
    found = found_answers(rewards, group.trajectories[0].text)
    details = {
        name: ({"answer": found[name]} if name in found else {}) | dict(score.details.get(name, {}))
        for name in score.components
        if name in found or name in score.details
    }
    return replace(score, details=details)


def _asked(row: Mapping[str, Any], place: str) -> str:
    """Return what a row's ``prompt`` asks: its text, or its last message; empty without one."""
    prompt = row.get("prompt")
    if isinstance(prompt, list) and prompt and all(isinstance(entry, Mapping) for entry in prompt):
        return read_messages(prompt, "prompt", place)[-1]["content"]
    text = "" if prompt is None else str(prompt)
    check_text(text, "prompt", place)
    return text
