"""Reward for short text answers: equality with a reference answer after normalization (A.1, general QA)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from omnithinker.config.rewards import RewardSettings
from omnithinker.errors import DataError
from omnithinker.io.parsing import json_type
from omnithinker.rewards.answers import last_answer
from omnithinker.rewards.base import Reward
from omnithinker.rewards.probes import UNLIKELY_ANSWER, Probe, ProbeContext, formatted
from omnithinker.rewards.row_fields import RowField
from omnithinker.types import Prompt, Trajectory, Undefined, Value

_QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("$", "$"), ("`", "`"), ("*", "*"))


def normalize_answer(text: str) -> str:
    """Apply NFKC, case folding and single spaces; remove final periods and enclosing quotes, ``$`` and the like."""
    text = " ".join(unicodedata.normalize("NFKC", str(text)).casefold().split())
    while True:
        before = text
        text = text.rstrip(".").strip()
        for opening, closing in _QUOTES:
            if len(text) >= 2 and text.startswith(opening) and text.endswith(closing):
                text = text[1:-1].strip()
        if text == before:
            return text


def reference_answers(row: Mapping[str, Any]) -> list[str]:
    """Return the normalized accepted answers of a row (``answers`` or ``answer``, text or list) without empty ones."""
    value = row.get("answers", row.get("answer"))
    answers = value if isinstance(value, list | tuple) else [value]
    return [text for answer in answers if answer is not None and (text := normalize_answer(answer))]


class ShortAnswer(Reward):
    """1 if the last ``<answer>`` body is one of the row's reference answers, else 0.

    Row fields: ``answer`` or ``answers``, and ``options`` if the prompt lists some. With options, the body must match
    exactly one of them. The letter or number of an option is not an answer, unless it is the option's text.
    """

    class Settings(RewardSettings):
        """Settings of ``short_answer``."""

        kind: Literal["short_answer"] = "short_answer"

    row_fields = (RowField(("answer", "answers"), (str, int, float, list)),)

    @classmethod
    def check_row(cls, row: Mapping[str, Any], place: str) -> None:
        """Check the answers and the options, and that an answer is one of the options."""
        super().check_row(row, place)
        for name in ("answer", "answers", "options"):
            value = row.get(name)
            if name == "options" and not isinstance(value, list | None):
                raise DataError(f"{place}: field 'options' must be a list, got {json_type(value)}")
            for entry in value if isinstance(value, list) else ():
                if not isinstance(entry, str | int | float) or isinstance(entry, bool):
                    raise DataError(f"{place}: field {name!r}: entries must be text or numbers, got {json_type(entry)}")
                if not str(entry).strip():
                    raise DataError(f"{place}: field {name!r} has an empty entry")
        (verdict,) = cls().score_group(Prompt(task="", index=0, text="", row=row), [Trajectory(text="")])
        if isinstance(verdict, Undefined):
            field = "answers" if "answers" in row else "answer"
            cause = verdict.cause.replace("_", " ")
            raise DataError(f"{place}: field {field!r}: no completion could be right ({cause})")

    @classmethod
    def probes(cls, row: Mapping[str, Any], context: ProbeContext) -> list[Probe]:
        """Return the accepted and the other options; without options, the accepted answers and another row's answer."""
        accepted = reference_answers(row)
        field = "answers" if "answers" in row else "answer"
        value = row.get("answers", row.get("answer"))
        answers = [str(answer) for answer in (value if isinstance(value, list) else [value])]
        options = [str(option) for option in row.get("options") or ()]
        right = [option for option in options if normalize_answer(option) in accepted]
        probes = [Probe("gold answer", formatted(answer), 1.0, field) for answer in right or answers]
        if options:
            wrong = [option for option in options if normalize_answer(option) not in accepted]
            return probes + [Probe("other option", formatted(option), 0.0, "options") for option in wrong]
        wrong_answers = (
            answer for other in context.other_rows for answer in reference_answers(other) if answer not in accepted
        )
        return [*probes, Probe("wrong answer", formatted(next(wrong_answers, UNLIKELY_ANSWER)), 0.0, field)]

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[Value]:
        """Return [G] values; undefined if no answer could be right for the row.

        Causes: ``gold_missing`` if the row has no reference answer; ``gold_not_among_options`` if no reference answer
        matches exactly one of the options.
        """
        references = reference_answers(prompt.row)
        options = [normalize_answer(option) for option in prompt.row.get("options") or ()]
        cause = unanswerable(references, options)
        if cause is not None:
            return [Undefined(cause, f"row {prompt.index} of {prompt.task!r}") for _ in completions]
        return [score_answer(last_answer(completion.text), references, options) for completion in completions]


def unanswerable(references: Sequence[str], options: Sequence[str]) -> str | None:
    """Return the cause why no answer can be right, given normalized references and options; None if one can."""
    if not references:
        return "gold_missing"
    if options and not any(options.count(answer) == 1 for answer in references):
        return "gold_not_among_options"
    return None


def score_answer(body: str | None, references: Sequence[str], options: Sequence[str]) -> float:
    """Return 1 if an answer is right, else 0.

    Args:
        body: Answer of the completion; None scores 0.
        references: Normalized accepted answers.
        options: Normalized options of the prompt; empty if it lists none.
    """
    if body is None:
        return 0.0
    answer = normalize_answer(body)
    if options and options.count(answer) != 1:
        return 0.0
    return float(answer in references)
