"""A task: data, prompt template, weighted rewards and KL coefficient beta_k."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omnithinker.config.recipe import Recipe
from omnithinker.config.tasks import TaskSettings
from omnithinker.data.options import with_options_text
from omnithinker.data.rows import Row, hold_out
from omnithinker.data.sources import GENERATED_ITEMS, is_generated, read_source, shaped
from omnithinker.errors import DataError
from omnithinker.rewards.base import Component
from omnithinker.rewards.components import build_components, check_row, refusal
from omnithinker.rewards.resources import Resources
from omnithinker.tasks.messages import DEMONSTRATION, Message, fill, render
from omnithinker.types import Prompt

Split = Literal["train", "test", "validation"]
"""Part of a task's data."""


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
    """System message, in place of the rows' own; None for these."""
    chat_template_kwargs: Mapping[str, Any]
    """Variables of the chat template."""
    components: tuple[Component, ...]
    """R_k, the weighted rewards; empty for a task of supervised fine-tuning alone."""
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
    components = build_components(name, settings.rewards, resources) if settings.rewards else ()
    splits: dict[Split, list[Row]] = {"validation": []}
    unjudged: list[str] = []
    for split in splits_of(recipe):
        rows = read_split(name, split, recipe)
        for place, row in rows:
            render(settings.prompt, settings.system, row, place)
            check_row(settings.rewards, row, place)
            if split == "train" and settings.demonstration is not None:
                fill(settings.demonstration, row, place, DEMONSTRATION)
        splits[split], left_out = judged(name, rows, recipe)
        unjudged += left_out
        if rows and not splits[split]:
            raise DataError(f"tasks.{name}: no {split} row can be judged; first {left_out[0]}")
    return Task(
        **splits,
        name=name,
        template=settings.prompt,
        system=settings.system,
        chat_template_kwargs=settings.chat_template_kwargs,
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

    Rows have the fields that ``format`` and ``columns`` give them; those with ``options`` get a field ``options_text``
    for the prompt (see :mod:`omnithinker.data.options`). Validation rows are sampled from the training data by the
    recipe's seed and removed from it. So are test rows if there is no ``test``, but alike for every seed.

    Raises:
        DataError: if a file is missing, malformed or too short, or the data do not exist.
    """
    settings = recipe.tasks[name]
    if split not in ("train", "test", "validation"):
        raise DataError(f"tasks.{name}: no split {split!r}; use train, test or validation")
    if split == "test" and settings.test_items is None:
        rows = _raw_rows(name, "test", recipe.evaluation.items, recipe)
    elif split == "test":
        rows = _train_and_test(name, recipe)[1][: recipe.evaluation.items]
    else:
        rows = _train_or_validation(name, split, recipe)
    # Held-out items are the same for every seed, so that accuracies of different runs can be paired.
    seed = 0 if split == "test" else recipe.seed
    return [(place, with_options_text(shaped(row, settings, place), seed)) for place, row in rows]


def _train_or_validation(name: str, split: Literal["train", "validation"], recipe: Recipe) -> list[tuple[str, Row]]:
    limit, items = recipe.tasks[name].train_items, recipe.evaluation.validation_items
    if limit is None and is_generated(_source(recipe.tasks[name], "train")):
        limit = GENERATED_ITEMS
    most = None if limit is None else limit + items
    if recipe.tasks[name].test_items is None:
        rows = _raw_rows(name, "train", most, recipe)
    else:
        rows = _train_and_test(name, recipe)[0][:most]
    seed = f"validation {name} {recipe.seed}"
    train, validation = hold_out(rows, items, seed, "evaluation.validation_items")
    return validation if split == "validation" else train[:limit]


def _train_and_test(name: str, recipe: Recipe) -> tuple[list[tuple[str, Row]], list[tuple[str, Row]]]:
    """Split the rows of ``train`` by ``test_items``, alike for every seed."""
    rows = _raw_rows(name, "train", None, recipe)
    return hold_out(rows, recipe.tasks[name].test_items or 0, "test", f"tasks.{name}.test_items")


def _source(settings: TaskSettings, split: Literal["train", "test"]) -> str:
    return settings.data or str(settings.train if split == "train" else settings.test)


def _raw_rows(name: str, split: Literal["train", "test"], limit: int | None, recipe: Recipe) -> list[tuple[str, Row]]:
    settings = recipe.tasks[name]
    return read_source(
        _source(settings, split),
        split,
        limit,
        seed=0 if split == "test" else recipe.seed,
        settings=settings.data_settings,
        place=f"tasks.{name}.data",
    )


Encode = Callable[[Sequence[Message], Mapping[str, Any]], tuple[int, ...] | None]
"""(Messages, variables of the chat template) -> token ids, or None if there are too many."""


def encode_prompts(task: Task, rows: Sequence[Row], encode: Encode) -> tuple[list[Prompt], int]:
    """Render rows as prompts and drop those that are too long.

    Args:
        task: Provides template, system message and variables of the chat template.
        rows: Data rows.
        encode: The tokenizer.

    Returns:
        The prompts, and the number of dropped rows.

    Raises:
        DataError: if every prompt is too long, or the chat template refuses one.
    """
    prompts = []
    for index, row in enumerate(rows):
        place = f"task {task.name}, row {index + 1}"
        messages = render(task.template, task.system, row, place)
        try:
            ids = encode(messages, task.chat_template_kwargs)
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
        if ids is not None:
            prompts.append(prompt_of(task.name, index, messages, row, ids))
    if not prompts:
        raise DataError(f"task {task.name}: every prompt is longer than sampling.max_prompt_tokens; raise it")
    return prompts, len(rows) - len(prompts)


def prompt_of(task: str, index: int, messages: tuple[Message, ...], row: Row, token_ids: tuple[int, ...]) -> Prompt:
    """Return the prompt of rendered messages."""
    text = messages[-1]["content"]
    return Prompt(task=task, index=index, text=text, messages=messages, token_ids=token_ids, row=row)
