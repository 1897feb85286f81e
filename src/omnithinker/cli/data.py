"""``omnithinker data distractors``: add wrong options to rows of question and answer. Does not import torch."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from omnithinker.cli.options import add_recipe, read_recipe
from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.config.recipe import Recipe, known_task
from omnithinker.data.distractors import Question, add_to_all
from omnithinker.data.sources import is_generated, read_source, shaped
from omnithinker.errors import BadInput, DataError
from omnithinker.io.files import make_place, write_text
from omnithinker.judge.endpoint import Endpoint
from omnithinker.judge.ledger import Ledger
from omnithinker.rewards.math_text import as_number, normalize
from omnithinker.rewards.short_answer import normalize_answer, reference_answers
from omnithinker.ui.console import say
from omnithinker.ui.judge_usage import usage_sentence

MOST_OPTIONS = 1000
"""Largest number of wrong options per row."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    distractors = actions.add_parser("distractors", help="let a model add plausible wrong options to a task's rows")
    add_recipe(distractors)
    distractors.add_argument("--task", metavar="NAME", required=True, help="task whose rows are used")
    distractors.add_argument("--split", choices=("train", "test"), default="train", help="split (default train)")
    distractors.add_argument("--output", metavar="FILE", type=Path, required=True, help="JSON Lines file to write")
    distractors.add_argument(
        "--question", metavar="FIELD", default="question", help="question field (default question)"
    )
    distractors.add_argument("--judge", metavar="NAME", default="default", help="judge that writes the options")
    distractors.add_argument("--count", type=int, default=15, metavar="N", help="options per row (default 15)")


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        0 if all rows were completed, else 1.
    """
    recipe = read_recipe(args)
    if not 1 <= args.count <= MOST_OPTIONS:
        raise BadInput(f"--count {args.count}: must be from 1 to {MOST_OPTIONS}")
    rows = _rows(recipe, args.task, args.split)
    settings = _writer(recipe, args.judge, make_place(args.output))
    endpoint = Endpoint(settings, Ledger().account(args.judge, settings.model))

    async def generate(message: str, trial: int) -> str:
        return (await endpoint.complete([{"role": "user", "content": message}], trial)).text

    def question_of(row: Mapping[str, Any], place: str) -> Question:
        return _question(row, place, args.question)

    try:
        completed, failed = asyncio.run(
            add_to_all(rows, question_of, generate, same_option, count=args.count, seed=recipe.seed)
        )
    finally:
        usage = endpoint.usage
        endpoint.close()
    write_text(args.output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in completed))
    print(f"{args.output}: {len(completed)} of {len(rows)} rows; {usage_sentence(usage)}")
    for place, reason in failed:
        say(f"dropped: {place}: {reason}")
    return 1 if failed else 0


def same_option(first: str, second: str) -> bool:
    """Return True if two options are equal after normalization, as text or as number."""
    if normalize_answer(first) == normalize_answer(second):
        return True
    number = as_number(normalize(first))
    return number is not None and number == as_number(normalize(second))


def _rows(recipe: Recipe, task: str, split: Literal["train", "test"]) -> list[tuple[str, dict[str, Any]]]:
    """Return all rows of a task's file, in the shape of the task."""
    settings = recipe.tasks[known_task(recipe, task)]
    source = settings.data or getattr(settings, split)
    if source is None:
        raise BadInput(f"tasks.{task}: has no {split!r}; its test rows are part of 'train'")
    if is_generated(source):
        raise BadInput(
            f"tasks.{task}: uses built-in data; distractors are added only to the files of 'train' and 'test'"
        )
    rows = read_source(source, split, None, seed=0, settings={}, place=f"tasks.{task}.data")
    return [(place, shaped(row, settings, place)) for place, row in rows]


def _writer(recipe: Recipe, name: str, output: Path) -> ChatJudgeSettings:
    """Return the settings of the judge that writes; its replies are always cached, so that a rerun resumes for free."""
    settings = recipe.judges.get(name)
    if not isinstance(settings, ChatJudgeSettings):
        raise BadInput(f'judges.{name}: not a chat judge; add a judge of kind "chat", or name one with --judge')
    if settings.cache is None:
        return settings.model_copy(update={"cache": f"{output}.cache.sqlite"})
    return settings


def _question(row: Mapping[str, Any], place: str, field: str) -> Question:
    if not isinstance(row.get(field), str):
        known = ", ".join(map(str, row)) or "none"
        raise DataError(f"{place}: no text field {field!r} (fields: {known}); name the right one with --question")
    if not reference_answers(row):
        raise DataError(f"{place}: no answer in field 'answer' or 'answers'")
    value = row.get("answers", row.get("answer"))
    answers = value if isinstance(value, list) else [value]
    return Question(row[field], tuple(str(answer) for answer in answers if answer is not None))
