"""The rewards of a recipe, to be asked by another program."""

from __future__ import annotations

import atexit
import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import nearest
from omnithinker.errors import BadInput, DataError
from omnithinker.judge.ledger import Ledger
from omnithinker.rewards.base import Component, explaining
from omnithinker.rewards.registry import Resources, build_components, check_row
from omnithinker.rewards.runner import Scorer
from omnithinker.tasks.base import Split, fill, read_split
from omnithinker.types import Prompt, RolloutGroup, Trajectory

GOLD_FIELDS = {"math_answer": "answer", "short_answer": "answer", "pairwise_judge": "reference", "unit_tests": "tests"}
"""The row's field that a kind of reward compares with."""


class RecipeRewards:
    """Rewards of a recipe's tasks; those of a task are built when first asked. Thread-safe.

    Close it, or use it in a ``with`` block: it holds verifier processes, sandboxes and connections to judges.

    Args:
        recipe: a recipe or its file.
        explain: let components that can tell more than a number do so, at a cost that training should not pay.

    Raises:
        RecipeError: the file is no recipe.
    """

    def __init__(self, recipe: Recipe | str | Path, *, explain: bool = False) -> None:
        self._explain = explain
        self.recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
        self._resources = Resources(self.recipe)
        self._components: dict[str, tuple[Component, ...]] = {}
        self._lock = threading.Lock()
        self._scorer = Scorer(self._components, ledger=self._resources.ledger, progress=self._resources.progress)

    @property
    def ledger(self) -> Ledger:
        """What the judges among the rewards did so far and what it cost."""
        return self._resources.ledger

    def task_of(self, name: Any) -> str:
        """The task that a name means; None means the only one.

        Raises:
            BadInput: there is no such task, or more than one and no name.
        """
        tasks = self.recipe.tasks
        if name is None and len(tasks) == 1:
            return next(iter(tasks))
        if name is None:
            raise BadInput(f"the recipe has several tasks ({', '.join(tasks)}); name one, or give rows a field 'task'")
        if not isinstance(name, str) or name not in tasks:
            raise BadInput(f"no task {name!r} in the recipe{nearest(str(name), tasks)}; its tasks: {', '.join(tasks)}")
        return name

    def at_step(self, step: int, steps: int) -> None:
        """Tell where the other trainer stands, for rewards that depend on it."""
        progress = self._resources.progress
        progress.step, progress.steps = step, steps

    def submit(
        self, prompt: Prompt, completions: Sequence[Trajectory], *, place: str | None = None
    ) -> Future[RolloutGroup]:
        """Start scoring completions of a prompt.

        Args:
            prompt: with the row that the task's rewards read.
            completions: [G] of it.
            place: where the row comes from, for messages; by default its task and index.

        Returns:
            A future of the scored group; raises as :meth:`omnithinker.rewards.runner.Scorer.submit` says.

        Raises:
            DataError: the row lacks what the task's rewards read.
        """
        task = prompt.task
        rewards = self.recipe.tasks[task].rewards
        check_row(rewards, prompt.row, place or f"task {task!r}, row {prompt.index}")
        with self._lock:
            if task not in self._components:
                components = build_components(task, rewards, self._resources)
                self._components[task] = explaining(components) if self._explain else components
        return self._scorer.submit(RolloutGroup(prompt=prompt, trajectories=tuple(completions)))

    def close(self) -> None:
        """End the processes and connections."""
        self._scorer.close()
        self._resources.close()

    def __enter__(self) -> RecipeRewards:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_opened: dict[str, RecipeRewards] = {}
_opening = threading.Lock()


def opened(recipe: str) -> RecipeRewards:
    """The rewards of a recipe's file, opened once in a process."""
    with _opening:
        if recipe not in _opened:
            _opened[recipe] = RecipeRewards(recipe)
        return _opened[recipe]


@atexit.register
def close_all() -> None:
    """End what was opened, as the end of the process does too."""
    with _opening:
        for rewards in _opened.values():
            rewards.close()
        _opened.clear()


def completion_of(prompt: str, text: str, *, place: int = 0, token_ids: Sequence[int] = ()) -> Trajectory:
    """A completion with a seed that a repeated run finds again: it decides the order of a judged pair.

    Args:
        prompt: what the completion answers.
        text: the completion.
        place: tells equal completions of a prompt apart.
        token_ids: its tokens.
    """
    digest = hashlib.sha256(f"{place}\0{prompt}\0{text}".encode("utf-8", "surrogatepass")).digest()
    return Trajectory(text=text, token_ids=tuple(token_ids), seed=int.from_bytes(digest[:6], "big"))


def messages_of(recipe: Recipe, task: str, row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
    """A row's prompt as chat messages.

    Raises:
        DataError: the row lacks a field of the task's template.
    """
    settings = recipe.tasks[task]
    system = [{"role": "system", "content": settings.system}] if settings.system else []
    return [*system, {"role": "user", "content": fill(settings.prompt, row, place)}]


def portable_rows(recipe: Recipe, task: str, split: Split) -> list[tuple[list[dict[str, str]], dict[str, str]]]:
    """(messages, fields) of a task's split, in types that every table can hold.

    Fields are the row's texts, and in ``row`` the whole row as JSON; :func:`whole_row` puts it together again.

    Raises:
        DataError: a file is missing or damaged, or a row lacks what the prompt or the rewards need.
    """
    portable = []
    for place, row in read_split(task, split, recipe):
        check_row(recipe.tasks[task].rewards, row, place)
        texts = {name: value for name, value in row.items() if isinstance(value, str)}
        portable.append((messages_of(recipe, task, row, place), texts | {"row": json.dumps(row)}))
    return portable


def whole_row(fields: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The row that fields of a table stand for: what ``row`` holds as JSON, and every other field that is not None.

    Raises:
        DataError: ``row`` is text but no JSON object.
    """
    known = {name: value for name, value in fields.items() if value is not None}
    if not isinstance(known.get("row"), str):
        return known
    try:
        row = json.loads(known.pop("row"))
    except ValueError as error:
        raise DataError(f"{place}: field 'row' is not valid JSON: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{place}: field 'row' should be a JSON object")
    return row | known
