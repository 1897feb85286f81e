"""Rewards of a recipe in verl, as its custom reward function.

verl calls ``compute_score(data_source, solution_str, ground_truth, extra_info)`` once per completion with the
``reward_kwargs`` of its configuration, which name the recipe. verl has no undefined rewards: they raise an error, or
are replaced by a number from the configuration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from omnithinker.config.file import as_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.errors import RewardError
from omnithinker.integrations.recipe_rewards import portable_rows, seeded_completion, shared_rewards, whole_row
from omnithinker.rewards.components import gold_fields
from omnithinker.tasks.base import Split
from omnithinker.types import Prompt


class UndefinedReward(RewardError):
    """A completion has no defined reward, and the configuration provides no number for this case."""


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    recipe: str,
    undefined: float | None = None,
    **_: Any,
) -> dict[str, float]:
    """Score a completion with the rewards of a recipe's task.

    Args:
        data_source: Name of the task. Ignored if the recipe has only one task.
        solution_str: The completion.
        ground_truth: Value of the task's gold field (``answer``, ``tests`` or ``reference``), unless ``extra_info``
            contains it.
        extra_info: Fields of the row; ``row`` may contain further ones as a JSON object.
        recipe: Path of the recipe.
        undefined: ``score`` of a completion without a defined reward; by default that is an error. verl trains on this
            number like on any other.

    Returns:
        ``score`` (weighted sum), ``acc`` (accuracy, NaN if undefined) and ``undefined`` (0 or 1). The keys are always
        the same, as verl requires.

    Raises:
        DataError: if the row lacks a field that the task's rewards require.
        UndefinedReward: if no primary component is defined; names the causes.
        RewardError: if a component failed.
    """
    rewards = shared_rewards(recipe)
    tasks = rewards.recipe.tasks
    task = rewards.task_of(data_source if data_source in tasks or len(tasks) > 1 else None)
    row = whole_row(extra_info or {}, f"extra_info of {data_source!r}")
    for field in gold_fields(tasks[task].rewards):
        if field not in row and ground_truth is not None:
            row[field] = ground_truth
    text, index = str(row.pop("prompt_text", "")), row.get("index")
    prompt = Prompt(task=task, index=index if isinstance(index, int) else 0, text=text, row=row)
    score = rewards.submit(prompt, [seeded_completion(prompt.text, solution_str)]).result().scores[0]
    if score.reward is not None:
        correct = math.nan if score.correct is None else score.correct
        return {"score": score.reward, "acc": correct, "undefined": 0.0}
    if undefined is None:
        causes = ", ".join(f"{name}: {cause}" for name, cause in score.causes.items())
        raise UndefinedReward(
            f"task {task!r}, row {prompt.index}: the reward is undefined ({causes}); verl cannot drop a completion, "
            "so set 'undefined' in reward_kwargs to a number that it may train on instead"
        )
    return {"score": float(undefined), "acc": math.nan, "undefined": 1.0}


def dataset_rows(recipe: Recipe | str, split: Split = "train") -> list[dict[str, Any]]:
    """Return rows for verl's parquet files, one per row of each task, with the task's name in ``data_source``.

    Args:
        recipe: Recipe, or path of its file.
        split: ``train``, ``test``, or ``validation`` if the recipe has one.

    Raises:
        DataError: if a file is missing or malformed, or a row lacks a field that the prompt or the rewards require.
    """
    recipe = as_recipe(recipe)
    rows: list[dict[str, Any]] = []
    for task, settings in recipe.tasks.items():
        gold = next(iter(gold_fields(settings.rewards)), "answer")
        for index, (messages, fields) in enumerate(portable_rows(recipe, task, split)):
            rows.append(
                {
                    "data_source": task,
                    "prompt": messages,
                    "ability": task,
                    "reward_model": {"style": "rule", "ground_truth": str(fields.get(gold, ""))},
                    "extra_info": {**fields, "split": split, "index": index, "prompt_text": messages[-1]["content"]},
                }
            )
    return rows
