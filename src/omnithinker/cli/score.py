"""``omnithinker score``: reward breakdown of completions, JSON lines in and out. Needs no torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any, BinaryIO, cast

from omnithinker.cli.background import Ahead
from omnithinker.cli.judged import judges_told
from omnithinker.cli.options import add_recipe, read_recipe
from omnithinker.config.recipe import known_task
from omnithinker.errors import BadInput, DataError
from omnithinker.integrations.recipe_rewards import RecipeRewards
from omnithinker.types import Prompt, RolloutGroup, Score, Trajectory

IN_FLIGHT = 64
"""Lines held at once: just read, being scored, or waiting for one before them."""
STANDARD_INPUT = "standard input"
"""Its name in messages."""

Item = Future[RolloutGroup] | dict[str, Any] | DataError
"""A line that was read: being scored, answered without scoring, or bad enough to stop at."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument(
        "--task", metavar="NAME", help='whose rewards to use; without it, every line names its own in a field "task"'
    )
    parser.add_argument("--input", metavar="FILE", help="JSON lines; by default standard input")
    parser.add_argument(
        "--keep-going", action="store_true", help='answer a bad line with {"error": ...} instead of stopping'
    )


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    recipe = read_recipe(args)
    task = args.task and known_task(recipe, args.task)
    if task is None and len(recipe.tasks) == 1:
        task = next(iter(recipe.tasks))
    lines, name = read_lines(args.input), args.input or STANDARD_INPUT
    rewards = RecipeRewards(recipe, explain=True)
    with judges_told(rewards.ledger), rewards:
        for answer in score_lines(lines, rewards, task, name, keep_going=args.keep_going):
            text = json.dumps(answer, ensure_ascii=False)
            # A lone surrogate has no place in UTF-8, but an escape in JSON.
            print(text.encode("utf-8", "backslashreplace").decode(), flush=True)


def read_lines(path: str | None) -> Iterator[bytes]:
    """Lines of a file or, without one, of standard input.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") if path else _taken_from_stdin() as stream:
            yield from stream
    except OSError as error:
        raise DataError(f"{path or STANDARD_INPUT}: cannot be read: {error.strerror}") from error


def _taken_from_stdin() -> BinaryIO:
    """What standard input reads from. Left there, Python would abort when it ends while a thread still reads."""
    stream: BinaryIO = cast(Any, sys.stdin).detach()
    return stream


def score_lines(
    lines: Iterable[bytes], rewards: RecipeRewards, task: str | None, name: str, *, keep_going: bool
) -> Iterator[dict[str, Any]]:
    """Score lines side by side and in constant memory; answers come in their order, as soon as that allows.

    No answer waits for the next line: whoever writes the lines may wait for each answer before the next.

    Args:
        lines: JSON objects; they are read in a thread.
        rewards: score them.
        task: the task of every line; None if each names its own.
        name: where the lines come from, for messages.
        keep_going: answer a bad line with ``{"error": ...}`` instead of stopping.

    Raises:
        DataError: a line is bad and ``keep_going`` is off; everything before it has been answered.
    """
    waiting: deque[Item] = deque()
    with Ahead(enumerate(lines, start=1)) as ahead:
        coming: Future[tuple[int, bytes] | None] | None = ahead.ask()
        while waiting or coming:
            # The line that is coming is held too.
            wanted = coming if len(waiting) < IN_FLIGHT - 1 else None
            if waiting and _is_ready(waiting[0]):
                yield _answer(waiting.popleft())
            elif wanted is None or not wanted.done():
                _wait_for_one(waiting, wanted)
            elif (numbered := wanted.result()) is None:
                coming = None
            else:
                item = _item(*numbered, rewards, task, name, keep_going=keep_going)
                if item is not None:
                    waiting.append(item)
                coming = None if isinstance(item, DataError) else ahead.ask()


def _item(
    number: int, line: bytes, rewards: RecipeRewards, task: str | None, name: str, *, keep_going: bool
) -> Item | None:
    """What a line becomes; an empty one nothing."""
    if not line.strip():
        return None
    try:
        return submit_line(line, number, rewards, task, f"{name}:{number}")
    except DataError as error:
        return {"error": str(error)} if keep_going else error


def _wait_for_one(waiting: Iterable[Item], coming: Future[Any] | None) -> None:
    """Until the first line that waits is scored, or the next one is there."""
    first = next(iter(waiting), None)
    wait([one for one in (first, coming) if isinstance(one, Future)], return_when=FIRST_COMPLETED)


def submit_line(line: bytes, number: int, rewards: RecipeRewards, task: str | None, place: str) -> Future[RolloutGroup]:
    """Start scoring one line.

    Returns:
        A future of the scored group of one completion.

    Raises:
        DataError: not JSON, or a field is missing or of the wrong kind.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not valid JSON: {error}") from error
    if not isinstance(row, dict) or not isinstance(row.get("completion"), str):
        raise DataError(f'{place}: expected an object with a text field "completion"')
    named = row.get("task") if task is None else task
    if named is None:
        raise DataError(f'{place}: no field "task" that names a task; add it, or give one for all lines by --task')
    fields = {key: value for key, value in row.items() if key != "completion"}
    try:
        named = rewards.task_of(named)
    except BadInput as error:
        raise DataError(f"{place}: {error}") from error
    prompt = Prompt(task=named, index=number - 1, text=str(row.get("prompt", "")), row=fields)
    return rewards.submit(prompt, [Trajectory(text=row["completion"], seed=number)], place=place)


def _is_ready(item: Item) -> bool:
    return not isinstance(item, Future) or item.done()


def _answer(item: Item) -> dict[str, Any]:
    if isinstance(item, DataError):
        raise item
    return item if isinstance(item, dict) else to_record(item.result().scores[0])


def to_record(score: Score) -> dict[str, Any]:
    """One line of output."""
    return {
        "reward": score.reward,
        "components": dict(score.components),
        "causes": dict(score.causes),
        "correct": score.correct,
        "details": dict(score.details),
    }
