"""Check of every task's rows: count, length, rows that cannot be used, rows that occur in both splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omnithinker.checks.report import Section
from omnithinker.config.recipe import Recipe
from omnithinker.errors import DataError
from omnithinker.rewards.components import check_row, refusal
from omnithinker.tasks.base import prompt_of, read_split, splits_of
from omnithinker.tasks.messages import Message, render
from omnithinker.types import Prompt

Encode = Callable[[Sequence[Message], Mapping[str, Any]], tuple[int, ...]]
"""(Messages, variables of the chat template) -> tokens, including the chat template."""

LISTED_PLACES = 3
"""Places listed in a line about several rows."""


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A usable row and its place."""

    place: str
    """File and line, or the number within built-in data."""
    split: str
    """``train``, ``test`` or ``validation``."""
    prompt: Prompt
    """Message, row, and tokens if there is a tokenizer."""


@dataclass
class TaskRows:
    """Rows of one task."""

    rows: list[PlacedRow] = field(default_factory=list)
    """Usable rows, training rows first, including prompts over the length limit."""
    bad: list[str] = field(default_factory=list)
    """Problem of each unusable row, one line each."""
    unjudged: list[str] = field(default_factory=list)
    """Place and reason of each usable row that the rewards cannot judge; such rows are left out."""
    lengths: dict[str, list[int]] = field(default_factory=dict)
    """Tokens of every prompt, per split; empty without a tokenizer."""


def check_data(recipe: Recipe, encode: Encode | None) -> tuple[Section, dict[str, TaskRows]]:
    """Read and check all rows of a recipe.

    Args:
        recipe: settings.
        encode: the tokenizer; None if there is none, and lengths stay unknown.

    Returns:
        The section, and the rows per task.
    """
    tasks = {name: read_task(name, recipe, encode) for name in recipe.tasks}
    sections = [_check_task(name, rows, recipe) for name, rows in tasks.items()]
    section = Section(
        "data",
        {"tasks": {section.name: section.data for section in sections}},
        tuple(problem for section in sections for problem in section.problems),
        tuple(note for section in sections for note in section.notes),
    )
    return section, tasks


def read_task(name: str, recipe: Recipe, encode: Encode | None) -> TaskRows:
    """Read the rows of all splits of a task; problems are collected, not raised."""
    task, settings = TaskRows(), recipe.tasks[name]
    for split in splits_of(recipe):
        try:
            rows = read_split(name, split, recipe)
        except DataError as error:
            task.bad.append(str(error))
            continue
        for index, (place, row) in enumerate(rows):
            try:
                messages = render(settings.prompt, settings.system, row, place)
                check_row(settings.rewards, row, place)
                ids = _encoded(messages, settings.chat_template_kwargs, encode, place) if encode else ()
            except DataError as error:
                task.bad.append(str(error))
                continue
            if (reason := refusal(recipe, name, row)) is not None:
                task.unjudged.append(f"{place}: {reason}")
                continue
            task.rows.append(PlacedRow(place, split, prompt_of(name, index, messages, row, ids)))
            if encode:
                task.lengths.setdefault(split, []).append(len(ids))
    return task


def _encoded(messages: Sequence[Message], kwargs: Mapping[str, Any], encode: Encode, place: str) -> tuple[int, ...]:
    try:
        return encode(messages, kwargs)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error


def _check_task(name: str, task: TaskRows, recipe: Recipe) -> Section:
    """Return data, problems and notes of one task."""
    problems, notes = [], []
    in_both, repeated = duplicates(task.rows)
    if task.bad:
        problems.append(f"tasks.{name}: {_counted(task.bad, 'row cannot be used', 'rows cannot be used')}")
    if in_both:
        problems.append(f"tasks.{name}: {_counted(in_both, 'test prompt is', 'test prompts are')} also in training")
    if repeated:
        notes.append(f"tasks.{name}: {_counted(repeated, 'prompt is', 'prompts are')} repeated within a split")
    if task.unjudged:
        line = _counted(task.unjudged, "row cannot be judged and is left out", "rows cannot be judged and are left out")
        (notes if task.rows else problems).append(f"tasks.{name}: {line}")
    data: dict[str, Any] = {
        "bad_rows": task.bad,
        "unjudged": task.unjudged,
        "in_both_splits": in_both,
        "repeated": repeated,
    }
    limit, overlong = recipe.sampling.max_prompt_tokens, recipe.sampling.overlong_prompts
    for split in splits_of(recipe):
        rows, lengths = sum(row.split == split for row in task.rows), task.lengths.get(split)
        if task.unjudged and not rows:
            problems.append(f"tasks.{name}: no {split} row is left that can be judged")
        too_long = None if lengths is None else sum(length > limit for length in lengths)
        data[split] = {"rows": rows, "too_long": too_long, "longest_prompt": max(lengths) if lengths else None}
        if not too_long:
            continue
        count = f"tasks.{name}: {too_long} of {rows} {split} prompts are longer than {limit} tokens"
        if too_long == rows and overlong == "drop":
            problems.append(f"{count}, so none is left; raise sampling.max_prompt_tokens")
        else:
            treatment = "dropped" if overlong == "drop" else "truncated"
            notes.append(f"{count} (sampling.max_prompt_tokens) and are {treatment}")
    return Section(name, data, tuple(problems), tuple(notes))


def duplicates(rows: Sequence[PlacedRow]) -> tuple[list[str], list[str]]:
    """Find prompts that occur more than once; case and white space are ignored.

    Returns:
        Places of test rows that are also training rows, and of rows that repeat another of their own split.
    """
    seen: Counter[tuple[str, str]] = Counter()
    in_both, repeated = [], []
    for row in rows:
        text = " ".join("\0".join(message["content"] for message in row.prompt.messages).casefold().split())
        if row.split == "test" and seen["train", text]:
            in_both.append(row.place)
        if seen[row.split, text]:
            repeated.append(row.place)
        seen[row.split, text] += 1
    return in_both, repeated


def _counted(places: Sequence[str], singular: str, plural: str) -> str:
    """Return the number of places, a phrase, and the first places."""
    listed = "; ".join(places[:LISTED_PLACES]) + ("; ..." if len(places) > LISTED_PLACES else "")
    return f"{len(places)} {singular if len(places) == 1 else plural} ({listed})"
