"""``omnithinker score``: reward breakdown of completions, JSON lines in and out. Needs no torch."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from omnithinker.cli.options import add_recipe, known_task, read_recipe
from omnithinker.errors import BadInput, DataError
from omnithinker.integrations.recipe_rewards import RecipeRewards
from omnithinker.types import Completion, Prompt, RolloutGroup, Score

IN_FLIGHT = 64
"""Lines held at once: being scored, or waiting for one before them."""


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
    with open_lines(args.input) as lines, RecipeRewards(recipe, explain=True) as rewards:
        for answer in score_lines(lines, rewards, task, args.input or "standard input", keep_going=args.keep_going):
            text = json.dumps(answer, ensure_ascii=False)
            # A lone surrogate has no place in UTF-8, but an escape in JSON.
            print(text.encode("utf-8", "backslashreplace").decode(), flush=True)


def open_lines(path: str | None) -> contextlib.AbstractContextManager[Iterable[bytes]]:
    """Lines of a file or, without one, of standard input.

    Raises:
        DataError: the file cannot be read.
    """
    if path is None:
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def score_lines(
    lines: Iterable[bytes], rewards: RecipeRewards, task: str | None, name: str, *, keep_going: bool
) -> Iterator[dict[str, Any]]:
    """Score lines side by side and in constant memory; answers come in their order, as soon as that allows.

    Args:
        lines: JSON objects.
        rewards: score them.
        task: the task of every line; None if each names its own.
        name: where the lines come from, for messages.
        keep_going: answer a bad line with ``{"error": ...}`` instead of stopping.

    Raises:
        DataError: a line is bad and ``keep_going`` is off; everything before it has been answered.
    """
    waiting: deque[Future[RolloutGroup] | dict[str, Any] | DataError] = deque()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            waiting.append(submit_line(line, number, rewards, task, f"{name}:{number}"))
        except DataError as error:
            waiting.append({"error": str(error)} if keep_going else error)
            if not keep_going:
                break
        while waiting and (len(waiting) >= IN_FLIGHT or _is_ready(waiting[0])):
            yield _answer(waiting.popleft())
    while waiting:
        yield _answer(waiting.popleft())


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
    return rewards.submit(prompt, [Completion(text=row["completion"], seed=number)], place=place)


def _is_ready(item: Future[RolloutGroup] | dict[str, Any] | DataError) -> bool:
    return item.done() if isinstance(item, Future) else isinstance(item, dict)


def _answer(item: Future[RolloutGroup] | dict[str, Any] | DataError) -> dict[str, Any]:
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
