"""Wrong options for questions, written by a model: the paper's QA rows list the right answer among 15 others."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omnithinker.data.options import options_text, shuffled
from omnithinker.data.rows import Row
from omnithinker.errors import JudgeError

Ask = Callable[[str, int], Awaitable[str]]
"""(message, trial) -> the model's reply; raises JudgeError when there is none."""
Same = Callable[[str, str], bool]
"""Whether two options say the same."""

ROUNDS = 4
"""How often a row may ask for more options after some were struck out."""

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
    """What a row asks."""

    text: str
    """The question as the policy will see it, without options."""
    answers: tuple[str, ...]
    """Accepted answers; the first is shown among the options."""


class NoDistractors(Exception):
    """A row for which the model did not write enough wrong options; the message says why."""


async def add_distractors(row: Row, question: Question, ask: Ask, same: Same, *, count: int = 15, seed: int = 0) -> Row:
    """A copy of a row with ``options`` (right answer and distractors, shuffled) and ``options_text`` (one a line).

    Args:
        row: the data row.
        question: what it asks.
        ask: the model.
        same: when two options say the same; such a pair is not allowed.
        count: how many distractors.
        seed: of the order; each question has its own.

    Raises:
        NoDistractors: fewer than ``count`` were found.
    """
    distractors = await write_distractors(question, ask, same, count)
    options = shuffled([question.answers[0], *distractors], f"{seed}\0{question.text}")
    return {**row, "options": options, "options_text": options_text(options)}


async def write_distractors(question: Question, ask: Ask, same: Same, count: int) -> list[str]:
    """Ask for wrong options, strike out repetitions and right ones, and ask again for as many as are missing.

    Raises:
        NoDistractors: after all rounds there are fewer than ``count``.
    """
    kept: list[str] = []
    struck: list[str] = []
    for trial in range(ROUNDS):
        try:
            reply = await ask(_write_message(question, count - len(kept), [*kept, *struck]), trial)
            new = _new_options(_json_list(reply), [*question.answers, *kept, *struck], same)[: count - len(kept)]
            correct = await _also_correct(question, new, ask, trial) if new else set()
        except (JudgeError, ValueError) as error:
            reason = str(error)
            continue
        struck += [option for place, option in enumerate(new) if place in correct]
        kept += [option for place, option in enumerate(new) if place not in correct]
        if len(kept) == count:
            return kept
        reason = f"{len(kept)} of {count} after {trial + 1} rounds, {len(struck)} struck out as correct"
    raise NoDistractors(reason)


async def _also_correct(question: Question, options: Sequence[str], ask: Ask, trial: int) -> set[int]:
    """Positions of options that the model, asked anew, finds correct."""
    numbered = "\n".join(f"{number}. {option}" for number, option in enumerate(options, start=1))
    message = _CHECK.format(question=question.text, answer=question.answers[0], options=numbered)
    numbers = _json_list(await ask(message, trial))
    if not all(isinstance(number, int) and 1 <= number <= len(options) for number in numbers):
        raise ValueError(f"the check names no such options: {numbers}")
    return {number - 1 for number in numbers}


def _write_message(question: Question, count: int, known: Sequence[str]) -> str:
    listed = f"\n\nDo not repeat these: {json.dumps(list(known), ensure_ascii=False)}" if known else ""
    return _WRITE.format(question=question.text, answer=question.answers[0], count=count, known=listed)


def _new_options(options: Sequence[Any], known: Sequence[str], same: Same) -> list[str]:
    """The options that say something not said before."""
    new: list[str] = []
    for option in options:
        text = " ".join(str(option).split())
        if text and not any(same(text, other) for other in (*known, *new)):
            new.append(text)
    return new


def _json_list(reply: str) -> list[Any]:
    """The last JSON list of a reply.

    Raises:
        ValueError: it has none.
    """
    for match in reversed(list(re.finditer(r"\[", reply))):
        try:
            value, _ = json.JSONDecoder().raw_decode(reply, match.start())
        except ValueError:
            continue
        return list(value)
    raise ValueError(f"the reply has no JSON list: {reply[-60:]!r}")


async def add_to_all(
    rows: Sequence[tuple[str, Row]],
    question_of: Callable[[Mapping[str, Any], str], Question],
    ask: Ask,
    same: Same,
    *,
    count: int = 15,
    seed: int = 0,
    in_flight: int = 32,
) -> tuple[list[Row], list[tuple[str, str]]]:
    """Add distractors to rows, side by side.

    Args:
        rows: (place, row) of each.
        question_of: (row, place) -> what the row asks; raises DataError.
        ask: the model.
        same: when two options say the same.
        count: distractors per row.
        seed: of the order of the options.
        in_flight: rows worked on at once.

    Returns:
        The rows that were completed, in order; and (place, reason) of the others.
    """
    questions = [question_of(row, place) for place, row in rows]
    slots = asyncio.Semaphore(in_flight)

    async def one(row: Row, question: Question) -> Row:
        async with slots:
            return await add_distractors(row, question, ask, same, count=count, seed=seed)

    work = [one(row, question) for (_, row), question in zip(rows, questions, strict=True)]
    results = await asyncio.gather(*work, return_exceptions=True)
    done: list[Row] = []
    failed: list[tuple[str, str]] = []
    for (place, _), result in zip(rows, results, strict=True):
        if isinstance(result, NoDistractors):
            failed.append((place, str(result)))
        elif isinstance(result, BaseException):
            raise result
        else:
            done.append(result)
    return done, failed
