"""Rewards of a recipe for use by other programs."""

from __future__ import annotations

import atexit
import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from omnithinker.config.file import as_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import nearest
from omnithinker.errors import BadInput, DataError
from omnithinker.io.closing import Closing
from omnithinker.judge.ledger import Ledger
from omnithinker.rewards.base import Component, with_details
from omnithinker.rewards.components import build_components, check_row, refusal
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.runner import Scorer
from omnithinker.tasks.base import Split, read_split
from omnithinker.tasks.messages import render
from omnithinker.types import Prompt, RolloutGroup, Trajectory


class RecipeRewards(Closing):
    """Rewards of a recipe's tasks, built on first use. Thread-safe.

    Close it, or use it in a ``with`` block: it holds verifier processes, sandboxes and connections to judges.

    Args:
        recipe: Recipe, or path of its file.
        details: True to return details of the values, at a cost that training should not pay.

    Raises:
        RecipeError: if the file is not a valid recipe.
    """

    def __init__(self, recipe: Recipe | str | Path, *, details: bool = False) -> None:
        self._details = details
        self.recipe = as_recipe(recipe)
        self._resources = Resources(self.recipe)
        self._components: dict[str, tuple[Component, ...]] = {}
        self._lock = threading.Lock()
        self._scorer = Scorer(self._components, ledger=self._resources.ledger, progress=self._resources.progress)

    @property
    def ledger(self) -> Ledger:
        """Calls, tokens and cost of the judges so far."""
        return self._resources.ledger

    def task_of(self, name: Any) -> str:
        """Return the task of a name; None stands for the only task.

        Raises:
            BadInput: if the task does not exist, or the name is None and there are several tasks.
        """
        tasks = self.recipe.tasks
        if name is None and len(tasks) == 1:
            return next(iter(tasks))
        if name is None:
            raise BadInput(
                f"the recipe has several tasks ({', '.join(tasks)}); name one, or add a field 'task' to rows"
            )
        if not isinstance(name, str) or name not in tasks:
            raise BadInput(f"no task {name!r} in the recipe{nearest(str(name), tasks)}; its tasks: {', '.join(tasks)}")
        return name

    def set_progress(self, step: int, steps: int) -> None:
        """Set the other trainer's progress, for rewards that depend on it."""
        progress = self._resources.progress
        progress.step, progress.steps = step, steps

    def submit(
        self, prompt: Prompt, completions: Sequence[Trajectory], *, place: str | None = None
    ) -> Future[RolloutGroup]:
        """Start scoring completions of a prompt.

        Args:
            prompt: Prompt, with the row that the task's rewards read.
            completions: [G] completions.
            place: File and line of the row, for messages; by default its task and index.

        Returns:
            A future of the scored group; see :meth:`omnithinker.rewards.runner.Scorer.submit` for its exceptions.

        Raises:
            DataError: if the row lacks a field that the task's rewards require.
        """
        task = prompt.task
        rewards = self.recipe.tasks[task].rewards
        check_row(rewards, prompt.row, place or f"task {task!r}, row {prompt.index}")
        with self._lock:
            if task not in self._components:
                components = build_components(task, rewards, self._resources)
                self._components[task] = with_details(components) if self._details else components
        return self._scorer.submit(RolloutGroup(prompt=prompt, trajectories=tuple(completions)))

    def close(self) -> None:
        """Close processes and connections."""
        self._scorer.close()
        self._resources.close()


_shared: dict[str, RecipeRewards] = {}
_shared_lock = threading.Lock()


def shared_rewards(recipe: str) -> RecipeRewards:
    """Return the rewards of a recipe file, opened once per process."""
    with _shared_lock:
        if recipe not in _shared:
            _shared[recipe] = RecipeRewards(recipe)
        return _shared[recipe]


@atexit.register
def close_shared() -> None:
    """Close all shared rewards; also called at the end of the process."""
    with _shared_lock:
        for rewards in _shared.values():
            rewards.close()
        _shared.clear()


def seeded_completion(prompt: str, text: str, *, index: int = 0, token_ids: Sequence[int] = ()) -> Trajectory:
    """Return a completion with a reproducible seed, which decides the order of a judged pair.

    Args:
        prompt: Text of the prompt.
        text: Text of the completion.
        index: Position in the group; distinguishes equal completions.
        token_ids: Its tokens.
    """
    digest = hashlib.sha256(f"{index}\0{prompt}\0{text}".encode("utf-8", "surrogatepass")).digest()
    return Trajectory(text=text, token_ids=tuple(token_ids), seed=int.from_bytes(digest[:6], "big"))


def messages_of(recipe: Recipe, task: str, row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
    """Render a row's prompt as chat messages.

    Raises:
        DataError: if the row lacks a field of the task's template.
    """
    settings = recipe.tasks[task]
    return [dict(message) for message in render(settings.prompt, settings.system, row, place)]


def portable_rows(recipe: Recipe, task: str, split: Split) -> list[tuple[list[dict[str, str]], dict[str, str]]]:
    """Return (messages, fields) of a split's rows, in types that every table supports.

    Fields are the row's texts, and the whole row as JSON in ``row``; :func:`whole_row` is the inverse.

    Raises:
        DataError: if a file is missing or malformed, or a row lacks a field that the prompt or the rewards require.
    """
    portable = []
    for place, row in read_split(task, split, recipe):
        check_row(recipe.tasks[task].rewards, row, place)
        if refusal(recipe, task, row) is not None:
            continue
        texts = {name: value for name, value in row.items() if isinstance(value, str)}
        portable.append((messages_of(recipe, task, row, place), texts | {"row": json.dumps(row)}))
    return portable


def whole_row(fields: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return a data row from the fields of a table: those of the JSON object in ``row``, and all others but None.

    Raises:
        DataError: if ``row`` is a text but not a JSON object.
    """
    others = {name: value for name, value in fields.items() if value is not None}
    if not isinstance(others.get("row"), str):
        return others
    try:
        row = json.loads(others.pop("row"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: field 'row' is not valid JSON: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{place}: field 'row' must be a JSON object")
    return row | others
