"""The first prompt of every task, as the model sees it, and the demonstrations that a warm-up teaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnithinker.checks.data import TaskRows
from omnithinker.checks.report import Section
from omnithinker.config.recipe import Recipe
from omnithinker.errors import DataError
from omnithinker.policy.tokenizer import ChatTokenizer, load_tokenizer
from omnithinker.tasks.messages import DEMONSTRATION, fill
from omnithinker.train.sft.demonstrations import Demonstration, encode, end_token


def first_prompts(recipe: Recipe, tasks: Mapping[str, TaskRows], tokenizer: ChatTokenizer) -> Section:
    """Show each task's first usable prompt and demonstration, chat template and special tokens included.

    Demonstrations that cannot be rendered are problems; those longer than the task's token limit are noted.
    """
    shown: dict[str, Any] = {}
    problems: list[str] = []
    notes: list[str] = []
    if any(task.demonstration for task in recipe.tasks.values()):
        tokenizer = load_tokenizer(recipe.model)  # with the model's end tokens
    for name, task in tasks.items():
        if not task.rows:
            continue
        row = task.rows[0]
        ids = row.prompt.token_ids
        shown[name] = {"place": row.place, "tokens": len(ids), "text": tokenizer.rendered(ids)}
        if (template := recipe.tasks[name].demonstration) is not None:
            limit = recipe.sampling_of(name).max_new_tokens
            shown[name]["demonstration"], bad, long = _demonstrations(task, template, tokenizer, limit)
            problems += [f"tasks.{name}: {line}" for line in bad]
            notes += [f"tasks.{name}: {line}" for line in long]
    return Section("prompts", {"tasks": shown}, tuple(problems), tuple(notes))


def _demonstrations(
    task: TaskRows, template: str, tokenizer: ChatTokenizer, limit: int
) -> tuple[dict[str, Any] | None, list[str], list[str]]:
    """Return the first demonstration, problems, and a note if some are longer than the limit."""
    end, total = end_token(tokenizer), 0
    first: dict[str, Any] | None = None
    bad: list[str] = []
    too_long: list[str] = []
    for row in task.rows:
        if row.split != "train":
            continue
        try:
            completion = fill(template, row.prompt.row, row.place, DEMONSTRATION)
        except DataError as error:
            bad.append(str(error))
            continue
        ids = encode(Demonstration(row.prompt, completion), tokenizer, end).completion_ids
        total += 1
        first = first or {"place": row.place, "tokens": len(ids), "text": tokenizer.rendered(ids)}
        if len(ids) > limit:
            too_long.append(row.place)
    problems = [f"{len(bad)} demonstrations cannot be rendered; first {bad[0]}"] if bad else []
    notes = [
        f"{len(too_long)} of {total} demonstrations are longer than max_new_tokens = {limit}, so the model learns "
        f"completions that generation cuts off (first {place}); raise max_new_tokens, or shorten the demonstrations"
        for place in too_long[:1]
    ]
    return first, problems, notes
