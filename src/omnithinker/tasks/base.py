"""A task: data, prompt template, weighted rewards and KL coefficient beta_k."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omnithinker.data.rows import Row, read_rows
from omnithinker.errors import DataError
from omnithinker.lab import generate_rows
from omnithinker.recipe import Recipe, TaskSettings
from omnithinker.rewards.base import Component
from omnithinker.rewards.registry import Resources, build_components, check_row
from omnithinker.types import Prompt

LAB_TRAIN_ITEMS = 256
"""Training rows generated for a lab task that does not say how many."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task T_k = (D_k, R_k) with its KL coefficient."""

    name: str
    """Unique name."""
    train: Sequence[Row]
    """Training rows."""
    test: Sequence[Row]
    """Held-out rows."""
    template: str
    """User message with ``{field}`` places."""
    system: str | None
    """System message."""
    components: tuple[Component, ...]
    """R_k, the weighted rewards."""
    beta: float
    """beta_k of Eq. 4."""


def load_tasks(recipe: Recipe, resources: Resources, *, only: Sequence[str] | None = None) -> dict[str, Task]:
    """Read data and build rewards for every task of a recipe, or for those in ``only``.

    Raises:
        DataError: a file is missing, or a row lacks what the task's template or rewards need.
    """
    names = list(recipe.tasks) if only is None else list(only)
    return {name: _load(name, recipe.tasks[name], recipe, resources) for name in names}


def _load(name: str, settings: TaskSettings, recipe: Recipe, resources: Resources) -> Task:
    components = build_components(name, settings.rewards, resources)
    splits = {}
    for split in ("train", "test"):
        rows = read_split(name, split, recipe)
        for place, row in rows:
            fill(settings.prompt, row, place)
            check_row(settings.rewards, row, place)
        splits[split] = [row for _, row in rows]
    return Task(name, splits["train"], splits["test"], settings.prompt, settings.system, components, settings.beta)


def read_split(name: str, split: str, recipe: Recipe) -> list[tuple[str, Row]]:
    """Rows of a task's ``train`` or ``test`` split, as many as the recipe uses, with the place each comes from.

    Raises:
        DataError: a file is missing or damaged, or there is no such built-in data.
    """
    settings, seed = recipe.tasks[name], recipe.seed
    limit = settings.train_items if split == "train" else recipe.evaluation.items
    source = settings.data or str(getattr(settings, split))
    if source.startswith("lab:"):
        # Held-out items are the same for every seed, so that accuracies of different runs can be paired.
        count = limit or LAB_TRAIN_ITEMS
        rows = generate_rows(source.removeprefix("lab:"), split, count, seed=seed if split == "train" else 0)
        return [(f"{source} {split} row {number}", row) for number, row in enumerate(rows, start=1)]
    if ":" in source and not source.endswith((".jsonl", ".json")):
        raise DataError(f"tasks.{name}.data {source!r}: only lab:math, lab:code, lab:qa and lab:writing are built in")
    return read_rows(source)[:limit]


def fill(template: str, row: Mapping[str, Any], place: str) -> str:
    """Put fields of a row into a template; braces around anything but a name stay as they are (LaTeX, code).

    Raises:
        DataError: the row lacks a field that the template names.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in row:
            known = ", ".join(map(str, row)) or "none"
            raise DataError(f"{place}: no field {match[1]!r}, which the prompt template needs (fields: {known})")
        return str(row[match[1]])

    return re.sub(r"\{([A-Za-z_]\w*)\}", value, template)


def encode_prompts(
    task: Task, rows: Sequence[Row], encode: Callable[[str, str | None], tuple[int, ...] | None]
) -> tuple[list[Prompt], int]:
    """Render rows for the policy; prompts that are too long are left out.

    Args:
        task: whose template and system message to use.
        rows: data rows.
        encode: (user message, system message) -> tokens, or None if there are too many.

    Returns:
        The prompts, and how many were too long.

    Raises:
        DataError: no prompt is short enough.
    """
    prompts = []
    for index, row in enumerate(rows):
        text = fill(task.template, row, f"task {task.name}, row {index + 1}")
        ids = encode(text, task.system)
        if ids is not None:
            prompts.append(Prompt(task=task.name, index=index, text=text, token_ids=ids, row=row))
    if not prompts:
        raise DataError(f"task {task.name}: every prompt is longer than sampling.max_prompt_tokens; raise it")
    return prompts, len(rows) - len(prompts)
