"""Our rewards in TRL: ``GRPOTrainer(reward_funcs=RecipeReward("recipe.toml"), ...)``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import nearest
from omnithinker.errors import RecipeError
from omnithinker.integrations.recipe_rewards import RecipeRewards, completion_of, portable_rows, whole_row
from omnithinker.tasks.base import Split
from omnithinker.types import Prompt, RolloutGroup, Score

LogMetric = Callable[[str, float], None]
_NOT_FIELDS = frozenset(("log_extra", "environments", "task"))


class RecipeReward:
    """A reward function for TRL's ``GRPOTrainer`` with the rewards of a recipe's task.

    Its value is the weighted sum of the defined components, and ``None``, which TRL leaves out, where no primary
    component is defined. The mean of every component, the share of undefined completions and its causes are logged
    per task. A component that fails raises RewardError, which ends the training, unless its ``on_error`` says
    otherwise.

    Columns of the dataset are fields of the row; those that are ``None`` are not there. A column ``row`` may hold more
    of them as a JSON object (see :func:`dataset_rows`). Close it after training, or use it in a ``with`` block.

    Args:
        recipe: a recipe or its file.
        task: whose rewards to use; None: the recipe's only task, or each row's own, named in a column ``task``.
        component: only this component of ``task``, without its weight; ``None`` where it is undefined.

    Raises:
        RecipeError: the file is no recipe, or has no such component.
        BadInput: the recipe has no such task.
    """

    def __init__(self, recipe: Recipe | str | Path, task: str | None = None, *, component: str | None = None) -> None:
        recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
        if component is not None:
            recipe, task = _alone(recipe, task, component), task or next(iter(recipe.tasks))
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
        """Score a batch as TRL passes it: texts or lists of messages, equal prompts side by side.

        Returns:
            One value per completion.

        Raises:
            DataError: a row lacks what its task's rewards read.
            RewardError: a component failed.
        """
        if trainer_state is not None:
            self._rewards.at_step(trainer_state.global_step, trainer_state.max_steps)
        ids = completion_ids or [()] * len(completions)
        fields = {name: values for name, values in columns.items() if name not in _NOT_FIELDS}
        futures = []
        for start, stop in _groups(prompts, columns):
            row = whole_row({name: values[start] for name, values in fields.items()}, f"row {start} of the batch")
            named = columns["task"][start] if self._task is None and "task" in columns else self._task
            text = _text(prompts[start], "user")
            prompt = Prompt(task=self._rewards.task_of(named), index=start, text=text, row=row)
            answers = [
                completion_of(text, _text(completions[i], "assistant"), place=i - start, token_ids=ids[i])
                for i in range(start, stop)
            ]
            futures.append(self._rewards.submit(prompt, answers))
        groups = [future.result() for future in futures]
        if log_metric is not None:
            self._log(groups, log_metric)
        return [self._value(score) for group in groups for score in group.scores]

    def close(self) -> None:
        """End verifier processes, sandboxes and connections."""
        self._rewards.close()

    def __enter__(self) -> RecipeReward:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _value(self, score: Score) -> float | None:
        return score.reward if self._component is None else score.components[self._component]

    def _log(self, groups: Sequence[RolloutGroup], log_metric: LogMetric) -> None:
        scores: dict[str, list[Score]] = defaultdict(list)
        for group in groups:
            scores[group.prompt.task] += group.scores
        for task, found in scores.items():
            for name in self._rewards.recipe.tasks[task].rewards:
                defined = [value for score in found if (value := score.components[name]) is not None]
                if defined:
                    log_metric(f"{task}/{name}", fmean(defined))
            log_metric(f"{task}/undefined", fmean(score.reward is None for score in found))
            causes = Counter(f"{task}/undefined/{name}/{why}" for one in found for name, why in one.causes.items())
            self._causes |= set(causes)
            # A cause once seen is logged as 0 too: TRL averages what it is told.
            for cause in sorted(cause for cause in self._causes if cause.startswith(f"{task}/")):
                log_metric(cause, causes[cause] / len(found))


def dataset_rows(recipe: Recipe | str | Path, split: Split = "train", task: str | None = None) -> list[dict[str, Any]]:
    """Rows for ``datasets.Dataset.from_list``: chat messages in ``prompt``, the name in ``task``, the row's texts, and
    the whole row as JSON in ``row``.

    Args:
        recipe: a recipe or its file.
        split: ``train`` or ``test``; ``validation`` where the recipe has one.
        task: only this task; by default all, one after the other. All rows have the same fields, ``None`` where a
            task does not know them.

    Raises:
        DataError: a file is missing or damaged, or a row lacks what the prompt or the rewards need.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    rows = [
        {**fields, "prompt": messages, "task": name}
        for name in ([task] if task else recipe.tasks)
        for messages, fields in portable_rows(recipe, name, split)
    ]
    names = dict.fromkeys(field for row in rows for field in row)
    return [{name: row.get(name) for name in names} for row in rows]


def _alone(recipe: Recipe, task: str | None, component: str) -> Recipe:
    """The recipe with one component of one task."""
    if task is None and len(recipe.tasks) > 1:
        raise RecipeError("a component belongs to a task: name it")
    name = task or next(iter(recipe.tasks))
    settings = recipe.tasks.get(name)
    rewards = {} if settings is None else settings.rewards
    if settings is None or component not in rewards:
        raise RecipeError(f"tasks.{name}: no reward {component!r}{nearest(component, rewards)}")
    only = {component: rewards[component].model_copy(update={"primary": True})}
    return recipe.model_copy(update={"tasks": {name: settings.model_copy(update={"rewards": only})}})


def _groups(prompts: Sequence[Any], columns: Mapping[str, Sequence[Any]]) -> list[tuple[int, int]]:
    """(start, stop) of runs of equal rows: TRL repeats a row for each of its completions."""
    lists = [values for values in columns.values() if isinstance(values, list) and len(values) == len(prompts)]
    starts = [
        i
        for i in range(len(prompts))
        if i == 0 or prompts[i] != prompts[i - 1] or any(values[i] != values[i - 1] for values in lists)
    ]
    return list(zip(starts, [*starts[1:], len(prompts)], strict=True))


def _text(value: Any, role: str) -> str:
    """A text, or what the last message of a role says."""
    if isinstance(value, str):
        return value
    contents = [message["content"] for message in value if message.get("role") == role]
    content = (contents or [""])[-1]
    if isinstance(content, list):  # parts of a message that may hold images
        return "".join(part.get("text", "") for part in content)
    return str(content or "")
