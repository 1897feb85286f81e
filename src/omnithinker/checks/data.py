"""The rows of every task: how many, how long, which cannot be used, which occur in both splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from omnithinker.checks.report import Section
from omnithinker.config.recipe import Recipe
from omnithinker.errors import DataError
from omnithinker.rewards.components import check_row
from omnithinker.tasks.base import fill, read_split, splits_of
from omnithinker.types import Prompt

Encode = Callable[[str, str | None], tuple[int, ...]]
"""(User message, system message) -> tokens, chat template included."""

SHOWN = 3
"""Places named in a line that stands for many rows."""


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A usable row and where it comes from."""

    place: str
    """File and line, or the number within built-in data."""
    split: str
    """``train``, ``test`` or ``validation``."""
    prompt: Prompt
    """Message, row, and tokens where there is a tokenizer."""


@dataclass
class TaskRows:
    """The rows of one task."""

    rows: list[PlacedRow] = field(default_factory=list)
    """Those that can be used, training rows first; prompts over the limit are among them."""
    bad: list[str] = field(default_factory=list)
    """What is wrong with the others, one line each."""
    lengths: dict[str, list[int]] = field(default_factory=dict)
    """Per split, tokens of every prompt."""

    def usable(self, split: str, limit: int | None) -> int:
        """Rows of a split that a run would use.

        Args:
            split: ``train`` or ``test``.
            limit: most tokens of a prompt; None if longer ones are cut.
        """
        lengths = self.lengths.get(split)
        if lengths is None or limit is None:
            return sum(row.split == split for row in self.rows)
        return sum(length <= limit for length in lengths)


def check_data(recipe: Recipe, encode: Encode | None) -> tuple[Section, dict[str, TaskRows]]:
    """Read all rows of a recipe.

    Args:
        recipe: its tasks are read.
        encode: the tokenizer; None if there is none, then lengths are unknown.

    Returns:
        The section, and the rows per task.
    """
    tasks = {name: read_task(name, recipe, encode) for name in recipe.tasks}
    problems: list[str] = []
    notes: list[str] = []
    data = {name: _describe(name, rows, recipe, problems, notes) for name, rows in tasks.items()}
    return Section("data", {"tasks": data}, tuple(problems), tuple(notes)), tasks


def read_task(name: str, recipe: Recipe, encode: Encode | None) -> TaskRows:
    """Rows of all splits of a task; what cannot be used is named, not raised."""
    found, settings = TaskRows(), recipe.tasks[name]
    for split in splits_of(recipe):
        try:
            rows = read_split(name, split, recipe)
        except DataError as error:
            found.bad.append(str(error))
            continue
        for index, (place, row) in enumerate(rows):
            try:
                text = fill(settings.prompt, row, place)
                check_row(settings.rewards, row, place)
            except DataError as error:
                found.bad.append(str(error))
                continue
            ids = encode(text, settings.system) if encode else ()
            prompt = Prompt(task=name, index=index, text=text, token_ids=ids, row=row)
            found.rows.append(PlacedRow(place, split, prompt))
            if encode:
                found.lengths.setdefault(split, []).append(len(ids))
    return found


def _describe(name: str, found: TaskRows, recipe: Recipe, problems: list[str], notes: list[str]) -> dict[str, Any]:
    if found.bad:
        problems.append(f"tasks.{name}: {_many(found.bad, 'row cannot be used', 'rows cannot be used')}")
    both, repeated = duplicates(found.rows)
    if both:
        problems.append(f"tasks.{name}: {_many(both, 'test prompt is', 'test prompts are')} in the training rows too")
    if repeated:
        notes.append(f"tasks.{name}: {_many(repeated, 'row repeats', 'rows repeat')} another's prompt in its split")
    data: dict[str, Any] = {"bad_rows": found.bad, "in_both_splits": both, "repeated": repeated}
    limit, cut = recipe.sampling.max_prompt_tokens, recipe.sampling.overlong_prompts != "drop"
    for split in splits_of(recipe):
        rows, lengths = sum(row.split == split for row in found.rows), found.lengths.get(split)
        too_long = None if lengths is None else sum(length > limit for length in lengths)
        data[split] = {"rows": rows, "too_long": too_long, "longest_prompt": max(lengths) if lengths else None}
        if not too_long:
            continue
        said = f"tasks.{name}: {too_long} of {rows} {split} prompts are longer than {limit} tokens"
        if too_long == rows and not cut:
            problems.append(f"{said}, so none is left; raise sampling.max_prompt_tokens")
        else:
            notes.append(f"{said} (sampling.max_prompt_tokens) and are {'cut' if cut else 'left out'}")
    return data


def duplicates(rows: Sequence[PlacedRow]) -> tuple[list[str], list[str]]:
    """Rows whose message is not the first of its kind; case and white space do not count.

    Returns:
        Places of test rows that are training rows too, and of rows that repeat another of their own split.
    """
    seen: Counter[tuple[str, str]] = Counter()
    both, repeated = [], []
    for row in rows:
        text = " ".join(row.prompt.text.casefold().split())
        if row.split == "test" and seen["train", text]:
            both.append(row.place)
        if seen[row.split, text]:
            repeated.append(row.place)
        seen[row.split, text] += 1
    return both, repeated


def _many(places: Sequence[str], one: str, more: str) -> str:
    """Number of places, and the first of them."""
    listed = "; ".join(places[:SHOWN]) + ("; ..." if len(places) > SHOWN else "")
    return f"{len(places)} {one if len(places) == 1 else more} ({listed})"
