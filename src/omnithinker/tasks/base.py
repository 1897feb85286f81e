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
from omnithinker.io.parsing import json_type
from omnithinker.lab import generate_rows
from omnithinker.rewards.base import Component
from omnithinker.rewards.components import build_components, check_row, refusal
from omnithinker.rewards.resources import Resources
from omnithinker.types import Prompt

Split = Literal["train", "test", "validation"]
"""Part of a task's data."""
LAB_TRAIN_ITEMS = 256
"""Default number of training rows generated for a lab task."""


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
    """Rows held out of the training rows for checkpoint selection; empty by default."""
    template: str
    """Template of the user message, with ``{field}`` placeholders."""
    system: str | None
    """System message; None for none."""
    components: tuple[Component, ...]
    """R_k, the weighted rewards."""
    beta: float
    """beta_k of Eq. 4."""
    unjudged: Sequence[str] = ()
    """Rows left out because the rewards cannot judge them: place and reason, one line each."""


def load_tasks(recipe: Recipe, resources: Resources, *, only: Sequence[str] | None = None) -> dict[str, Task]:
    """Read the data and build the rewards of a recipe's tasks.

    Args:
        recipe: The recipe.
        resources: Shared objects of the rewards.
        only: Names of the tasks to load; by default all.

    Raises:
        DataError: if a file is missing, or a row lacks a field that the template or the rewards require.
    """
    names = list(recipe.tasks) if only is None else list(only)
    return {name: _load(name, recipe.tasks[name], recipe, resources) for name in names}


def _load(name: str, settings: TaskSettings, recipe: Recipe, resources: Resources) -> Task:
    components = build_components(name, settings.rewards, resources)
    splits: dict[Split, list[Row]] = {"validation": []}
    unjudged: list[str] = []
    for split in splits_of(recipe):
        rows = read_split(name, split, recipe)
        for place, row in rows:
            fill(settings.prompt, row, place)
            check_row(settings.rewards, row, place)
        splits[split], left_out = judged(name, rows, recipe)
        unjudged += left_out
        if rows and not splits[split]:
            raise DataError(f"tasks.{name}: no {split} row can be judged; first {left_out[0]}")
    return Task(
        **splits,
        name=name,
        template=settings.prompt,
        system=settings.system,
        components=components,
        beta=settings.beta,
        unjudged=unjudged,
    )


def judged(name: str, rows: Sequence[tuple[str, Row]], recipe: Recipe) -> tuple[list[Row], list[str]]:
    """Split valid rows of a task into those that its rewards can judge, and place and reason of each other."""
    reasons = [refusal(recipe, name, row) for _, row in rows]
    kept = [row for (_, row), reason in zip(rows, reasons, strict=True) if reason is None]
    left_out = [f"{place}: {reason}" for (place, _), reason in zip(rows, reasons, strict=True) if reason is not None]
    return kept, left_out


def splits_of(recipe: Recipe) -> tuple[Split, ...]:
    """Return the splits that every task of the recipe has."""
    return ("train", "test", "validation") if recipe.evaluation.validation_items else ("train", "test")


def read_split(name: str, split: Split, recipe: Recipe) -> list[tuple[str, Row]]:
    """Return the rows of a task's split that the recipe uses, as (place, row).

    Validation rows are sampled from the training data by the recipe's seed and removed from it. Rows with ``options``
    get a field ``options_text`` for the prompt (see :mod:`omnithinker.data.options`).

    Raises:
        DataError: if a file is missing, malformed or too short, or the built-in data do not exist.
    """
    settings = recipe.tasks[name]
    if split not in ("train", "test", "validation"):
        raise DataError(f"tasks.{name}: no split {split!r}; use train, test or validation")
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
        generated = generate_rows(source.removeprefix("lab:"), split, limit or LAB_TRAIN_ITEMS, seed=seed)
        rows = [(f"{source} {split} row {number}", row) for number, row in enumerate(generated, start=1)]
    elif ":" in source and not source.endswith((".jsonl", ".json")):
        raise DataError(
            f"tasks.{name}.data: no built-in data {source!r}; use lab:math, lab:code, lab:qa or lab:writing, or name "
            "JSON Lines files with 'train' and 'test'"
        )
    else:
        rows = read_rows(source)[:limit]
    return [(place, with_options_text(row, seed)) for place, row in rows]


def fill(template: str, row: Mapping[str, Any], place: str) -> str:
    """Replace ``{field}`` in a template by that field of the row; other braces stay (LaTeX, code).

    Args:
        template: Text with placeholders.
        row: Data row.
        place: File and line of the row, for messages.

    Raises:
        DataError: if the row lacks a field that the template names, one is neither text nor a number, or all are empty.
    """
    values: dict[str, str] = {}

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in row:
            known = ", ".join(map(str, row)) or "none"
            raise DataError(f"{place}: no field {name!r}, which the prompt template uses (fields: {known})")
        if not isinstance(row[name], str | int | float) or isinstance(row[name], bool):
            raise DataError(
                f"{place}: field {name!r}, which the prompt template uses, must be text or a number, not "
                f"{json_type(row[name])}"
            )
        values[name] = str(row[name])
        return values[name]

    text = re.sub(r"\{([A-Za-z_]\w*)\}", value, template)
    if values and not any(map(str.strip, values.values())):
        raise DataError(f"{place}: field {' and '.join(map(repr, values))} is empty, so there is nothing to ask")
    return text


def encode_prompts(
    task: Task, rows: Sequence[Row], encode: Callable[[str, str | None], tuple[int, ...] | None]
) -> tuple[list[Prompt], int]:
    """Render rows as prompts and drop those that are too long.

    Args:
        task: Provides template and system message.
        rows: Data rows.
        encode: (user message, system message) -> token ids, or None if there are too many.

    Returns:
        The prompts, and the number of dropped rows.

    Raises:
        DataError: if every prompt is too long.
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
