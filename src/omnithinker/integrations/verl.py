"""Our rewards in verl, as its custom reward function.

verl calls ``compute_score(data_source, solution_str, ground_truth, extra_info)`` once per completion and adds what its
configuration holds under ``reward_kwargs``: name the recipe there. verl knows no undefined reward; what it gets instead
is an error, or a number that the configuration states.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.errors import RewardError
from omnithinker.integrations.recipe_rewards import GOLD_FIELDS, completion_of, opened, portable_rows, whole_row
from omnithinker.tasks.base import Split
from omnithinker.types import Prompt


class UndefinedReward(RewardError):
    """A completion has no defined reward, and the configuration states no number for that."""


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
        data_source: the task's name; any other is taken for the task of a recipe that has only one.
        solution_str: the completion.
        ground_truth: the field that the task's rewards compare with (``answer``, ``tests``, ``reference``), unless
            ``extra_info`` has it.
        extra_info: fields of the row; ``row`` may hold more of them as a JSON object.
        recipe: the recipe's file.
        undefined: ``score`` of a completion without a defined reward; by default that is an error. verl trains on this
            number as on any other.

    Returns:
        ``score``, the weighted sum; ``acc``, the task's accuracy on it (NaN where undefined); ``undefined``, 0 or 1.
        Always the same keys, as verl needs.

    Raises:
        DataError: the row lacks what the task's rewards read.
        UndefinedReward: no primary component is defined; names causes.
        RewardError: a component failed.
    """
    rewards = opened(recipe)
    tasks = rewards.recipe.tasks
    task = rewards.task_of(data_source if data_source in tasks or len(tasks) > 1 else None)
    row = whole_row(extra_info or {}, f"extra_info of {data_source!r}")
    for name, settings in tasks[task].rewards.items():
        if (gold := GOLD_FIELDS.get(settings.kind or name)) and gold not in row and ground_truth is not None:
            row[gold] = ground_truth
    text, index = str(row.pop("prompt_text", "")), row.get("index")
    prompt = Prompt(task=task, index=index if isinstance(index, int) else 0, text=text, row=row)
    score = rewards.submit(prompt, [completion_of(prompt.text, solution_str)]).result().scores[0]
    if score.reward is not None:
        correct = math.nan if score.correct is None else score.correct
        return {"score": score.reward, "acc": correct, "undefined": 0.0}
    if undefined is None:
        causes = ", ".join(f"{name}: {cause}" for name, cause in score.causes.items())
        raise UndefinedReward(
            f"task {task!r}, row {prompt.index}: the reward is undefined ({causes}); verl cannot leave a completion "
            "out, so give reward_kwargs a number 'undefined' if it may train on that"
        )
    return {"score": float(undefined), "acc": math.nan, "undefined": 1.0}


def dataset_rows(recipe: Recipe | str, split: Split = "train") -> list[dict[str, Any]]:
    """Rows for verl's parquet files: one per row of each task, the task's name in ``data_source``.

    Args:
        recipe: a recipe or its file.
        split: ``train`` or ``test``; ``validation`` where the recipe has one.

    Raises:
        DataError: a file is missing or damaged, or a row lacks what the prompt or the rewards need.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    rows: list[dict[str, Any]] = []
    for task, settings in recipe.tasks.items():
        kinds = [settings.kind or name for name, settings in settings.rewards.items()]
        gold = next((GOLD_FIELDS[kind] for kind in kinds if kind in GOLD_FIELDS), "answer")
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
