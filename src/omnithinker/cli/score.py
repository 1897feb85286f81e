"""``omnithinker score``: reward breakdown of completions, as JSON Lines. Does not import torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, BinaryIO, cast

from omnithinker.cli.background import BackgroundReader
from omnithinker.cli.judged import print_judge_usage
from omnithinker.cli.options import add_recipe, read_recipe
from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.config.recipe import Recipe, known_task
from omnithinker.errors import DataError
from omnithinker.integrations.completions import detailed_score, submit_row
from omnithinker.integrations.recipe_rewards import RecipeRewards
from omnithinker.io.parsing import parse_json
from omnithinker.io.waiting import wait_for_first
from omnithinker.types import RolloutGroup, Score

IN_FLIGHT = 64
"""Maximum lines in memory: just read, being scored, or waiting for the output of an earlier line."""
STANDARD_INPUT = "standard input"
"""Name of standard input in messages."""

Item = Future[RolloutGroup] | dict[str, Any] | DataError
"""State of a line: being scored, answered without scoring, or an error that ends the command."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument(
        "--task",
        metavar="NAME",
        help='task whose rewards are used (default: the one in field "task" of each line)',
    )
    parser.add_argument("--input", metavar="FILE", help="JSON Lines file (default: standard input)")
    parser.add_argument(
        "--keep-going", action="store_true", help='output {"error": ...} for an invalid line instead of stopping'
    )


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    recipe = with_caches(read_recipe(args))
    task = args.task and known_task(recipe, args.task)
    if task is None and len(recipe.tasks) == 1:
        task = next(iter(recipe.tasks))
    lines, name = read_lines(args.input), args.input or STANDARD_INPUT
    rewards = RecipeRewards(recipe, details=True)
    with print_judge_usage(rewards.ledger), rewards:
        for record in score_lines(lines, rewards, task, name, keep_going=args.keep_going):
            print(json_line(record, sys.stdout.encoding), flush=True)


def json_line(record: Mapping[str, Any], encoding: str) -> str:
    """Return a record as JSON; characters that an encoding lacks, such as lone surrogates, become JSON escapes."""
    text = json.dumps(record, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(record)
    return text


def with_caches(recipe: Recipe) -> Recipe:
    """Return a recipe whose chat judges all keep their replies, so that a repeated command pays for none twice."""
    folder = Path(f"{recipe.output}-score")
    judges = {
        name: settings.model_copy(update={"cache": str(folder / f"{name}.sqlite")})
        if isinstance(settings, ChatJudgeSettings) and settings.cache is None
        else settings
        for name, settings in recipe.judges.items()
    }
    return recipe.model_copy(update={"judges": judges})


def read_lines(path: str | None) -> Iterator[bytes]:
    """Yield the lines of a file, or of standard input if the path is None.

    Raises:
        DataError: if the file cannot be read.
    """
    try:
        with Path(path).open("rb") if path else _detached_stdin() as stream:
            yield from stream
    except OSError as error:
        raise DataError(f"{path or STANDARD_INPUT}: cannot be read: {error.strerror}") from error


def _detached_stdin() -> BinaryIO:
    """Detach the stream of standard input: Python would abort at exit while a thread still reads from it."""
    if sys.stdin is None:
        raise DataError(f"{STANDARD_INPUT}: is closed; pipe lines into the command, or name a file with --input")
    stream: BinaryIO = cast(Any, sys.stdin).detach()
    return stream


def score_lines(
    lines: Iterable[bytes], rewards: RecipeRewards, task: str | None, name: str, *, keep_going: bool
) -> Iterator[dict[str, Any]]:
    """Score lines concurrently in constant memory, and yield their records in order, each as soon as possible.

    No record waits for the next line, so a writer may wait for each record before it sends the next line.

    Args:
        lines: JSON objects; read in a background thread.
        rewards: Rewards that score them.
        task: Task of all lines; None if each names its own.
        name: Name of the input, for messages.
        keep_going: True to yield ``{"error": ...}`` for an invalid line instead of stopping.

    Raises:
        DataError: if a line is invalid and ``keep_going`` is False; the records of all lines before it were yielded.
    """
    pending: deque[Item] = deque()
    with BackgroundReader(enumerate(lines, start=1)) as reader:
        next_line: Future[tuple[int, bytes] | None] | None = reader.read_next()
        while pending or next_line:
            # The line being read counts towards the limit.
            awaited = next_line if len(pending) < IN_FLIGHT - 1 else None
            if pending and _is_ready(pending[0]):
                yield _record(pending.popleft(), rewards.recipe)
            elif awaited is None or not awaited.done():
                _wait_for_first(pending, awaited)
            elif (numbered := awaited.result()) is None:
                next_line = None
            else:
                item = _item(*numbered, rewards, task, name, keep_going=keep_going)
                if item is not None:
                    pending.append(item)
                next_line = None if isinstance(item, DataError) else reader.read_next()


def _item(
    number: int, line: bytes, rewards: RecipeRewards, task: str | None, name: str, *, keep_going: bool
) -> Item | None:
    """Start scoring a line; None for an empty one."""
    if not line.strip():
        return None
    try:
        return submit_line(line, number, rewards, task, f"{name}:{number}")
    except DataError as error:
        return {"error": str(error)} if keep_going else error


def _wait_for_first(pending: Iterable[Item], next_line: Future[Any] | None) -> None:
    """Wait until the first pending line is scored or the next line is read."""
    futures = [item for item in (next(iter(pending), None), next_line) if isinstance(item, Future)]
    wait_for_first(futures)


def submit_line(line: bytes, number: int, rewards: RecipeRewards, task: str | None, place: str) -> Future[RolloutGroup]:
    """Start scoring one line.

    Returns:
        A future of the scored group of one completion.

    Raises:
        DataError: if the line is not JSON, or a field is missing or has an invalid value.
    """
    try:
        row = parse_json(line)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
    return submit_row(row, number - 1, rewards, task, place)


def _is_ready(item: Item) -> bool:
    return not isinstance(item, Future) or item.done()


def _record(item: Item, recipe: Recipe) -> dict[str, Any]:
    if isinstance(item, DataError):
        raise item
    return item if isinstance(item, dict) else to_record(detailed_score(item.result(), recipe))


def to_record(score: Score) -> dict[str, Any]:
    """Return the output record of a completion."""
    return {
        "reward": score.reward,
        "components": dict(score.components),
        "causes": dict(score.causes),
        "correct": score.correct,
        "details": dict(score.details),
    }
