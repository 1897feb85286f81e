"""Reward for short answers in text: equal to a reference answer after a stated normalisation (A.1, general QA)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from omnithinker.rewards.answers import last_answer
from omnithinker.types import Prompt, Trajectory, Undefined, Value

_QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("$", "$"), ("`", "`"), ("*", "*"))


def normalise_answer(text: str) -> str:
    """Unicode NFKC, case folded, runs of space made one, and from the ends: final periods, quotes and ``$``."""
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
    """The accepted answers of a row (``answers``, or ``answer``; text or list), normalised, without empty ones."""
    given = row.get("answers", row.get("answer"))
    listed = given if isinstance(given, list | tuple) else [given]
    return [answer for item in listed if item is not None and (answer := normalise_answer(item))]


class ShortAnswer:
    """1 if the last ``<answer>`` body is one of the row's reference answers, else 0.

    Fields: ``answer`` or ``answers``; ``options`` if the prompt listed some. With options the body must match
    exactly one of them. A letter or number of an option is never an answer, unless it is an option's text.
    """

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[Value]:
        """[G] values; a row that no answer could satisfy is undefined.

        Causes: ``gold_missing`` without a reference answer; ``gold_not_among_options`` when no reference matches
        exactly one of the options.
        """
        references = reference_answers(prompt.row)
        options = [normalise_answer(option) for option in prompt.row.get("options") or ()]
        fault = row_fault(references, options)
        if fault is not None:
            return [Undefined(fault, f"row {prompt.index} of {prompt.task!r}") for _ in completions]
        return [score_answer(last_answer(completion.text), references, options) for completion in completions]


def row_fault(references: Sequence[str], options: Sequence[str]) -> str | None:
    """Why no answer could be right for a row (normalised answers and options); None if one could."""
    if not references:
        return "gold_missing"
    if options and not any(options.count(answer) == 1 for answer in references):
        return "gold_not_among_options"
    return None


def score_answer(body: str | None, references: Sequence[str], options: Sequence[str]) -> float:
    """1 or 0 for one answer.

    Args:
        body: what the completion answered; None scores 0.
        references: normalised accepted answers.
        options: normalised options of the prompt; empty when it listed none.
    """
    if body is None:
        return 0.0
    answer = normalise_answer(body)
    if options and options.count(answer) != 1:
        return 0.0
    return float(answer in references)
