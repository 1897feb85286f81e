"""Wrong options for questions, written by a model: the paper's QA rows list the right answer among 15 others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omnithinker.data.options import options_text, shuffled
from omnithinker.data.rows import Row
from omnithinker.errors import JudgeError

Generate = Callable[[str, int], Awaitable[str]]
"""(message, trial) -> reply of the model; raises JudgeError if there is none."""
SameOption = Callable[[str, str], bool]
"""Predicate: True if two options are equivalent."""

ROUNDS = 4
"""Maximum rounds per row; each requests as many options as are still missing."""
READ_CHARS = 100_000
"""Characters at the end of a reply that may hold its list. Reading a hostile reply takes the square of its length."""

_WRITE = """Here is a question with its correct answer.

Question: {question}
Correct answer: {answer}

Write {count} answers that are plausible but clearly wrong, of the same kind, style and length as the correct one. \
They must differ from each other and none may be correct, not even in other words.{known}

Reply with a JSON list of {count} strings and nothing else."""

_CHECK = """Here is a question with its correct answer, and numbered answers that should all be wrong.

Question: {question}
Correct answer: {answer}

{options}

Which of the numbered answers are in fact also correct, or mean the same as the correct answer? Think briefly, then \
end with a JSON list of their numbers; [] if none."""


@dataclass(frozen=True, slots=True)
class Question:
    """Question of a row."""

    text: str
    """The question without options."""
    answers: tuple[str, ...]
    """Accepted answers; the first one becomes an option."""


class NoDistractors(Exception):
    """The model did not write enough wrong options for a row; the message gives the reason."""


async def add_distractors(
    row: Row, question: Question, generate: Generate, same: SameOption, *, count: int = 15, seed: int = 0
) -> Row:
    """Return a copy of a row with shuffled ``options`` and ``options_text`` (one option per line).

    Args:
        row: Data row.
        question: Question of the row.
        generate: Calls the model.
        same: True if two options are equivalent; such options are rejected.
        count: Number of distractors.
        seed: Seed of the order, combined with the question.

    Raises:
        NoDistractors: if the model wrote fewer than ``count``.
    """
    distractors = await write_distractors(question, generate, same, count)
    options = shuffled([question.answers[0], *distractors], f"{seed}\0{question.text}")
    return {**row, "options": options, "options_text": options_text(options)}


async def write_distractors(question: Question, generate: Generate, same: SameOption, count: int) -> list[str]:
    """Generate wrong options, reject repetitions and correct ones, and repeat until there are enough.

    Raises:
        NoDistractors: if there are fewer than ``count`` after all rounds.
    """
    kept: list[str] = []
    rejected: list[str] = []
    for trial in range(ROUNDS):
        try:
            reply = await generate(_write_message(question, count - len(kept), [*kept, *rejected]), trial)
            new = _new_options(_json_list(reply), [*question.answers, *kept, *rejected], same)[: count - len(kept)]
            correct = await _also_correct(question, new, generate, trial) if new else set()
        except (JudgeError, ValueError) as error:
            reason = str(error)
            continue
        rejected += [option for index, option in enumerate(new) if index in correct]
        kept += [option for index, option in enumerate(new) if index not in correct]
        if len(kept) == count:
            return kept
        reason = f"{len(kept)} of {count} after {trial + 1} rounds, {len(rejected)} rejected as correct"
    raise NoDistractors(reason)


async def _also_correct(question: Question, options: Sequence[str], generate: Generate, trial: int) -> set[int]:
    """Return the indices of options that the model judges to be correct in a separate call."""
    numbered = "\n".join(f"{number}. {option}" for number, option in enumerate(options, start=1))
    message = _CHECK.format(question=question.text, answer=question.answers[0], options=numbered)
    numbers = _json_list(await generate(message, trial))
    if not all(type(number) is int and 1 <= number <= len(options) for number in numbers):
        raise ValueError(f"the check named options that do not exist: {numbers}")
    return {number - 1 for number in numbers}


def _write_message(question: Question, count: int, known: Sequence[str]) -> str:
    listed = f"\n\nDo not repeat these: {json.dumps(list(known), ensure_ascii=False)}" if known else ""
    return _WRITE.format(question=question.text, answer=question.answers[0], count=count, known=listed)


def _new_options(options: Sequence[Any], known: Sequence[str], same: SameOption) -> list[str]:
    """Return the texts and numbers that are not equivalent to a known option or to each other."""
    new: list[str] = []
    for option in options:
        is_answer = isinstance(option, str | int | float) and not isinstance(option, bool)
        text = " ".join(str(option).split()) if is_answer else ""
        if text and not any(same(text, other) for other in (*known, *new)):
            new.append(text)
    return new


def _json_list(reply: str) -> list[Any]:
    """Return the last JSON list in a reply that is not part of another.

    Raises:
        ValueError: if there is none, or lists are nested too deeply.
    """
    reply = reply[-READ_CHARS:]
    last: list[Any] | None = None
    start = reply.find("[")
    while start >= 0:
        try:
            last, end = json.JSONDecoder().raw_decode(reply, start)
        except ValueError:
            end = start + 1
        except RecursionError as error:
            raise ValueError("the reply nests lists too deeply") from error
        start = reply.find("[", end)
    if last is None:
        raise ValueError(f"the reply contains no JSON list: {reply[-60:]!r}")
    return last


async def add_to_all(
    rows: Sequence[tuple[str, Row]],
    question_of: Callable[[Mapping[str, Any], str], Question],
    generate: Generate,
    same: SameOption,
    *,
    count: int = 15,
    seed: int = 0,
    in_flight: int = 32,
) -> tuple[list[Row], list[tuple[str, str]]]:
    """Add distractors to rows concurrently.

    Args:
        rows: (place, row) pairs.
        question_of: (row, place) -> question of the row; raises DataError.
        generate: Calls the model.
        same: True if two options are equivalent.
        count: Number of distractors per row.
        seed: Seed of the order of the options.
        in_flight: Maximum rows in progress.

    Returns:
        Completed rows in order, and (place, reason) of the others.
    """
    questions = [question_of(row, place) for place, row in rows]
    slots = asyncio.Semaphore(in_flight)

    async def complete(row: Row, question: Question) -> Row:
        async with slots:
            return await add_distractors(row, question, generate, same, count=count, seed=seed)

    work = [complete(row, question) for (_, row), question in zip(rows, questions, strict=True)]
    results = await asyncio.gather(*work, return_exceptions=True)
    completed: list[Row] = []
    failed: list[tuple[str, str]] = []
    for (place, _), result in zip(rows, results, strict=True):
        if isinstance(result, NoDistractors):
            failed.append((place, str(result)))
        elif isinstance(result, BaseException):
            raise result
        else:
            completed.append(result)
    return completed, failed
