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
from omnithinker.errors import DataError
from omnithinker.recipe import TaskSettings
from omnithinker.rewards.registry import Resources, build_components, check_row
from omnithinker.scoring import Scorer
from omnithinker.types import Completion, Prompt, RolloutGroup, Score

IN_FLIGHT = 64
"""Lines scored at once."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument("--task", metavar="NAME", required=True, help="whose rewards to use")
    parser.add_argument("--input", metavar="FILE", help="JSON lines; by default standard input")
    parser.add_argument(
        "--keep-going", action="store_true", help='answer a bad line with {"error": ...} instead of stopping'
    )


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    recipe = read_recipe(args)
    settings = recipe.tasks[known_task(recipe, args.task)]
    name = args.input or "standard input"
    with open_lines(args.input) as lines, Resources(recipe) as resources:
        components = build_components(args.task, settings.rewards, resources)
        with Scorer({args.task: components}) as scorer:
            for answer in score_lines(lines, name, args.task, settings, scorer, args.keep_going):
                print(json.dumps(answer, ensure_ascii=False), flush=True)


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
    lines: Iterable[bytes], name: str, task: str, settings: TaskSettings, scorer: Scorer, keep_going: bool
) -> Iterator[dict[str, Any]]:
    """Score lines concurrently; answers come in the order of the lines.

    Raises:
        DataError: a line is bad and ``keep_going`` is off; everything before it has been answered.
    """
    waiting: deque[Future[RolloutGroup] | dict[str, Any] | DataError] = deque()

    def next_answer() -> dict[str, Any]:
        head = waiting.popleft()
        if isinstance(head, DataError):
            raise head
        return head if isinstance(head, dict) else to_record(head.result().scores[0])

    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            waiting.append(scorer.submit(parse_line(line, f"{name}:{number}", task, number, settings)))
        except DataError as error:
            waiting.append({"error": str(error)} if keep_going else error)
            if not keep_going:
                break
        if len(waiting) >= IN_FLIGHT:
            yield next_answer()
    while waiting:
        yield next_answer()


def parse_line(line: bytes, place: str, task: str, number: int, settings: TaskSettings) -> RolloutGroup:
    """One line as a group of one completion.

    Raises:
        DataError: not JSON, or a field is missing or of the wrong kind.
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{place}: not valid JSON: {error}") from error
    if not isinstance(row, dict) or not isinstance(row.get("completion"), str):
        raise DataError(f'{place}: expected an object with a text field "completion"')
    check_row(settings.rewards, row, place)
    fields = {key: value for key, value in row.items() if key != "completion"}
    prompt = Prompt(task=task, index=number - 1, text=str(row.get("prompt", "")), row=fields)
    return RolloutGroup(prompt=prompt, completions=(Completion(text=row["completion"], seed=number),))


def to_record(score: Score) -> dict[str, Any]:
    """One line of output."""
    return {
        "reward": score.reward,
        "components": dict(score.components),
        "causes": dict(score.causes),
        "correct": score.correct,
    }
