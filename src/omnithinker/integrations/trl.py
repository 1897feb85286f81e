"""Rewards of a recipe in TRL: ``GRPOTrainer(reward_funcs=RecipeReward("recipe.toml"), ...)``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from omnithinker.config.file import as_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import nearest
from omnithinker.errors import RecipeError
from omnithinker.integrations.recipe_rewards import RecipeRewards, portable_rows, seeded_completion, whole_row
from omnithinker.io.closing import Closing
from omnithinker.tasks.base import Split
from omnithinker.types import Prompt, RolloutGroup, Score

LogMetric = Callable[[str, float], None]
_NOT_FIELDS = frozenset(("log_extra", "environments", "task"))


class RecipeReward(Closing):
    """Reward function for TRL's ``GRPOTrainer`` with the rewards of a recipe's task.

    Returns the weighted sum of the defined components, or ``None``, which TRL ignores, if no primary component is
    defined. Logs the mean of each component, the share of undefined completions and their causes per task. A component
    that fails raises RewardError, which stops training, unless its ``on_error`` is ``undefined``.

    Columns of the dataset are row fields, except those that are ``None``. A column ``row`` may contain further fields
    as a JSON object (see :func:`dataset_rows`). Close it after training, or use it in a ``with`` block.

    Args:
        recipe: Recipe, or path of its file.
        task: Task whose rewards are used. By default the recipe's only task, or the one that each row names in a
            column ``task``.
        component: Component of the task to return alone, without its weight. By default the sum of all.

    Raises:
        RecipeError: if the file is not a valid recipe or has no such component.
        BadInput: if the recipe has no such task.
    """

    def __init__(self, recipe: Recipe | str | Path, task: str | None = None, *, component: str | None = None) -> None:
        recipe = as_recipe(recipe)
        if component is not None:
            recipe, task = _only_component(recipe, task, component), task or next(iter(recipe.tasks))
        self._rewards = RecipeRewards(recipe)
        self._task = None if task is None else self._rewards.task_of(task)
        self._component = component
        self._causes: set[str] = set()
        self.__name__ = "_".join(filter(None, (task, component))) or "omnithinker"

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        trainer_state: Any = None,
        log_metric: LogMetric | None = None,
        **columns: Sequence[Any],
    ) -> list[float | None]:
        """Score a batch as TRL passes it: texts or lists of messages, with equal prompts adjacent.

        Returns:
            One value per completion.

        Raises:
            DataError: if a row lacks a field that its task's rewards require.
            RewardError: if a component failed.
        """
        if trainer_state is not None:
            self._rewards.set_progress(trainer_state.global_step, trainer_state.max_steps)
        ids = completion_ids or [()] * len(completions)
        fields = {name: values for name, values in columns.items() if name not in _NOT_FIELDS}
        futures = []
        for start, stop in _groups(prompts, columns):
            row = whole_row({name: values[start] for name, values in fields.items()}, f"row {start} of the batch")
            task = columns["task"][start] if self._task is None and "task" in columns else self._task
            text = _text(prompts[start], "user")
            prompt = Prompt(task=self._rewards.task_of(task), index=start, text=text, row=row)
            group = [
                seeded_completion(text, _text(completions[i], "assistant"), index=i - start, token_ids=ids[i])
                for i in range(start, stop)
            ]
            futures.append(self._rewards.submit(prompt, group))
        groups = [future.result() for future in futures]
        if log_metric is not None:
            self._log(groups, log_metric)
        return [self._value(score) for group in groups for score in group.scores]

    def close(self) -> None:
        """Close verifier processes, sandboxes and connections."""
        self._rewards.close()

    def _value(self, score: Score) -> float | None:
        return score.reward if self._component is None else score.components[self._component]

    def _log(self, groups: Sequence[RolloutGroup], log_metric: LogMetric) -> None:
        by_task: dict[str, list[Score]] = defaultdict(list)
        for group in groups:
            by_task[group.prompt.task] += group.scores
        for task, scores in by_task.items():
            for name in self._rewards.recipe.tasks[task].rewards:
                defined = [value for score in scores if (value := score.components[name]) is not None]
                if defined:
                    log_metric(f"{task}/{name}", fmean(defined))
            log_metric(f"{task}/undefined", fmean(score.reward is None for score in scores))
            causes = Counter(
                f"{task}/undefined/{name}/{cause}" for score in scores for name, cause in score.causes.items()
            )
            self._causes |= set(causes)
            # TRL averages logged values, so a cause that has occurred before is logged as 0.
            for cause in sorted(cause for cause in self._causes if cause.startswith(f"{task}/")):
                log_metric(cause, causes[cause] / len(scores))


def dataset_rows(recipe: Recipe | str | Path, split: Split = "train", task: str | None = None) -> list[dict[str, Any]]:
    """Return rows for ``datasets.Dataset.from_list``.

    Fields are ``prompt`` (chat messages), ``task`` (its name), the row's texts, and ``row`` (the whole row as JSON).
    All rows have the same fields; those that a task lacks are ``None``.

    Args:
        recipe: Recipe, or path of its file.
        split: ``train``, ``test``, or ``validation`` if the recipe has one.
        task: Task whose rows are returned; by default all, one after the other.

    Raises:
        DataError: if a file is missing or malformed, or a row lacks a field that the prompt or the rewards require.
    """
    recipe = as_recipe(recipe)
    rows = [
        {**fields, "prompt": messages, "task": name}
        for name in ([task] if task else recipe.tasks)
        for messages, fields in portable_rows(recipe, name, split)
    ]
    names = dict.fromkeys(field for row in rows for field in row)
    return [{name: row.get(name) for name in names} for row in rows]


def _only_component(recipe: Recipe, task: str | None, component: str) -> Recipe:
    """Return the recipe reduced to one component of one task."""
    if task is None and len(recipe.tasks) > 1:
        raise RecipeError(f"component {component!r}: name its task; the recipe has several")
    name = task or next(iter(recipe.tasks))
    settings = recipe.tasks.get(name)
    rewards = {} if settings is None else settings.rewards
    if settings is None or component not in rewards:
        raise RecipeError(f"tasks.{name}: no reward {component!r}{nearest(component, rewards)}")
    only = {component: rewards[component].model_copy(update={"primary": True})}
    return recipe.model_copy(update={"tasks": {name: settings.model_copy(update={"rewards": only})}})


def _groups(prompts: Sequence[Any], columns: Mapping[str, Sequence[Any]]) -> list[tuple[int, int]]:
    """Return (start, stop) of runs of equal rows: TRL repeats a row for each of its completions."""
    lists = [values for values in columns.values() if isinstance(values, list) and len(values) == len(prompts)]
    starts = [
        i
        for i in range(len(prompts))
        if i == 0 or prompts[i] != prompts[i - 1] or any(values[i] != values[i - 1] for values in lists)
    ]
    return list(zip(starts, [*starts[1:], len(prompts)], strict=True))


def _text(value: Any, role: str) -> str:
    """Return a text, or the content of the last message of a role."""
    if isinstance(value, str):
        return value
    contents = [message["content"] for message in value if message.get("role") == role]
    content = (contents or [""])[-1]
    if isinstance(content, list):  # parts of a multimodal message
        return "".join(part.get("text", "") for part in content)
    return str(content or "")
