"""A task: data, prompt template, weighted rewards and KL coefficient beta_k."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omnithinker.config.recipe import Recipe
from omnithinker.config.tasks import TaskSettings
from omnithinker.data.options import with_options_text
from omnithinker.data.rows import Row, hold_out, read_rows
from omnithinker.errors import DataError
from omnithinker.lab import generate_rows
from omnithinker.rewards.base import Component
from omnithinker.rewards.registry import Resources, build_components, check_row
from omnithinker.types import Prompt

Split = Literal["train", "test", "validation"]
"""Parts of a task's data."""
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
    validation: Sequence[Row]
    """Rows taken out of the training rows to choose checkpoints by; empty unless the recipe asks for some."""
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
    splits: dict[Split, list[Row]] = {"validation": []}
    for split in splits_of(recipe):
        rows = read_split(name, split, recipe)
        for place, row in rows:
            fill(settings.prompt, row, place)
            check_row(settings.rewards, row, place)
        splits[split] = [row for _, row in rows]
    return Task(
        **splits, name=name, template=settings.prompt, system=settings.system, components=components, beta=settings.beta
    )


def splits_of(recipe: Recipe) -> tuple[Split, ...]:
    """The splits that every task of a recipe has."""
    return ("train", "test", "validation") if recipe.evaluation.validation_items else ("train", "test")


def read_split(name: str, split: Split, recipe: Recipe) -> list[tuple[str, Row]]:
    """Rows of a task's split, as many as the recipe uses, with the place each comes from.

    Validation rows are drawn from the training data by the recipe's seed, and are no training rows then. Rows with
    ``options`` have ``options_text`` too, for the prompt (see :mod:`omnithinker.data.options`).

    Raises:
        DataError: a file is missing or damaged, or has too few rows, or there is no such built-in data.
    """
    settings = recipe.tasks[name]
    if split not in ("train", "test", "validation"):
        raise DataError(f"tasks.{name}: no split {split!r}; choose train, test or validation")
    if split == "test":
        return _rows(name, settings.data or str(settings.test), "test", recipe.evaluation.items, recipe.seed)
    source = settings.data or str(settings.train)
    limit, items = settings.train_items, recipe.evaluation.validation_items
    if limit is None and source.startswith("lab:"):
        limit = LAB_TRAIN_ITEMS
    rows = _rows(name, source, "train", None if limit is None else limit + items, recipe.seed)
    train, validation = hold_out(rows, items, f"validation {name} {recipe.seed}")
    return validation if split == "validation" else train[:limit]


def _rows(
    name: str, source: str, split: Literal["train", "test"], limit: int | None, seed: int
) -> list[tuple[str, Row]]:
    if split == "test":
        seed = 0  # held-out items are the same for every seed, so that accuracies of different runs can be paired
    if source.startswith("lab:"):
        drawn = generate_rows(source.removeprefix("lab:"), split, limit or LAB_TRAIN_ITEMS, seed=seed)
        rows = [(f"{source} {split} row {number}", row) for number, row in enumerate(drawn, start=1)]
    elif ":" in source and not source.endswith((".jsonl", ".json")):
        raise DataError(f"tasks.{name}.data {source!r}: only lab:math, lab:code, lab:qa and lab:writing are built in")
    else:
        rows = read_rows(source)[:limit]
    return [(place, with_options_text(row, seed)) for place, row in rows]


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
