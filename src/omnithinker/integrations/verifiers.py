"""Tasks and rewards of a recipe as a taskset of ``verifiers`` v1, which prime-rl and other trainers read.

verifiers finds a taskset by the name of a top-level module that exports it, such as ``my_tasks.py``::

    from omnithinker.integrations.verifiers import RecipeTaskset; __all__ = ["RecipeTaskset"]
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Literal

import verifiers.v1 as vf
from pydantic import Field

from omnithinker.errors import RecipeError, RewardError
from omnithinker.integrations.recipe_rewards import portable_rows, seeded_completion, shared_rewards
from omnithinker.types import Prompt

__all__ = ["RecipeTaskset"]


class RecipeTaskConfig(vf.TaskConfig):
    """Configuration that a task needs to score itself."""

    recipe: str = ""
    """Path of the recipe."""


class RecipeTasksetConfig(vf.TasksetConfig):
    """Selection of rows."""

    task: RecipeTaskConfig = RecipeTaskConfig()
    """Configuration of each task."""
    split: Literal["train", "test"] = "train"
    """Split of the data."""
    tasks: list[str] = Field(default_factory=list)
    """Names of the recipe's tasks; by default all, one after the other."""


class RecipeData(vf.TaskData):
    """A data row."""

    task: str
    """Name of the recipe's task."""
    row: str
    """The row as JSON."""


class RecipeTask(vf.Task[RecipeData, vf.State, RecipeTaskConfig]):
    """A data row with its rewards."""

    @vf.reward
    async def rewards(self, trace: Any) -> dict[str, float]:
        """Return the weighted value of each defined component; their sum is the task's reward.

        Raises:
            RewardError: if no primary component is defined or one failed; verifiers then drops the episode.
        """
        rewards, data = shared_rewards(self.config.recipe), self.data
        task = rewards.recipe.tasks[data.task]
        prompt = Prompt(task=data.task, index=data.idx or 0, text=str(data.prompt), row=json.loads(data.row))
        answer = seeded_completion(prompt.text, trace.last_reply)
        score = (await asyncio.wrap_future(rewards.submit(prompt, [answer]))).scores[0]
        if score.reward is None:
            causes = ", ".join(f"{name}: {cause}" for name, cause in score.causes.items())
            raise RewardError(f"task {data.task!r}, row {prompt.index}: the reward is undefined ({causes})")
        defined = {name: value for name, value in score.components.items() if value is not None}
        return {name: task.rewards[name].weight * value for name, value in defined.items()}


class RecipeTaskset(vf.Taskset[RecipeTask, RecipeTasksetConfig]):
    """Rows of a recipe's tasks, each with the task's prompt and rewards."""

    def load(self) -> Iterator[RecipeTask]:
        """Yield the rows.

        Raises:
            RecipeError: if no recipe is named or the file is not a valid one.
            DataError: if a file is missing or malformed, or a row lacks a field that the prompt or the rewards require.
        """
        if not self.config.task.recipe:
            raise RecipeError("no recipe; name its file with --env.taskset.task.recipe FILE")
        rewards = shared_rewards(self.config.task.recipe)
        recipe = rewards.recipe
        for name in map(rewards.task_of, self.config.tasks or recipe.tasks):
            system = recipe.tasks[name].system
            for messages, fields in portable_rows(recipe, name, self.config.split):
                data = RecipeData(
                    name=name, task=name, row=fields["row"], prompt=messages[-1]["content"], system_prompt=system
                )
                yield RecipeTask(data, self.config.task)
