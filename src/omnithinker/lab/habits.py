"""Habits of the base model: distribution of solutions, mistakes and format errors in the pre-training text.

Random errors would leave greedy decoding perfect, because the correct solution stays the most frequent one. Habits are
systematic: each kind of item has its own probability of the correct solution, below one half for about half of the
kinds. Many habits depend on the manner, the first word of the reasoning (``slowly`` or ``quickly``). All domains share
these two words; each helps in some kinds and hurts in others. So training on one domain changes the others.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from omnithinker.lab.items import Item

Manner = Literal["slowly", "quickly"]
FormatError = Literal["no_think_end", "no_answer_tags", "twice", "no_answer_end"]

MANNER_RELIABILITY = 0.88
"""Probability of the correct solution if the reasoning begins with the right manner of the kind."""


@dataclass(frozen=True, slots=True)
class Habit:
    """Distribution of completions for one kind of item."""

    p_right: float
    """Probability of the correct solution."""
    right_manner: Manner | None
    """Manner that goes with the correct solution; None if the two are independent."""
    format_error: FormatError
    """Format error that occurs."""
    format_error_rate: float
    """Probability of the format error."""


HABITS: dict[str, dict[str, Habit]] = {
    "math": {
        "carry": Habit(0.42, "slowly", "no_think_end", 0.15),
        "borrow": Habit(0.36, "slowly", "no_answer_tags", 0.20),
        "price": Habit(0.45, "slowly", "no_answer_end", 0.15),
        "change": Habit(0.57, "slowly", "no_think_end", 0.25),
        "boxes": Habit(0.60, None, "twice", 0.20),
        "compare": Habit(0.44, None, "no_answer_tags", 0.15),
        "at_first": Habit(0.62, "quickly", "no_answer_end", 0.20),
        "share": Habit(0.56, None, "twice", 0.30),
    },
    "code": {
        "chain": Habit(0.44, "slowly", "no_answer_end", 0.20),
        "brackets": Habit(0.38, "slowly", "no_think_end", 0.15),
        "minus": Habit(0.58, None, "no_answer_tags", 0.20),
        "last": Habit(0.43, None, "no_think_end", 0.20),
        "total": Habit(0.56, "slowly", "no_answer_tags", 0.25),
        "above": Habit(0.40, "slowly", "no_answer_end", 0.15),
        "count": Habit(0.60, "quickly", "no_think_end", 0.30),
        "up_to": Habit(0.55, None, "no_answer_end", 0.15),
    },
    "qa": {
        "which": Habit(0.45, "slowly", "twice", 0.20),
        "odd": Habit(0.58, "slowly", "no_think_end", 0.15),
        "opposite": Habit(0.42, "quickly", "no_answer_tags", 0.20),
        "after": Habit(0.55, None, "no_answer_end", 0.15),
        "coloured": Habit(0.40, "slowly", "no_think_end", 0.20),
        "capital": Habit(0.60, "quickly", "twice", 0.30),
        "young": Habit(0.44, "quickly", "no_answer_tags", 0.15),
        "worker": Habit(0.57, None, "no_think_end", 0.25),
    },
    "writing": {
        "both_words": Habit(0.44, "slowly", "no_think_end", 0.20),
        "on_topic": Habit(0.45, "quickly", "no_answer_tags", 0.20),
        "three": Habit(0.40, "quickly", "no_answer_end", 0.20),
        "different": Habit(0.56, "quickly", "no_think_end", 0.15),
        "last_word": Habit(0.58, None, "no_answer_tags", 0.15),
        "first_word": Habit(0.56, None, "no_answer_end", 0.25),
    },
}
"""Domain -> kind of item -> habit."""


def sample_manner(habit: Habit, rng: random.Random) -> tuple[Manner, bool]:
    """Sample the manner, and True if the correct solution follows."""
    if habit.right_manner is None:
        return rng.choice(("slowly", "quickly")), rng.random() < habit.p_right
    # P(right) = r p + (1 - r)(1 - p) with r = MANNER_RELIABILITY, solved for p, the probability of the right manner.
    p_right_manner = (habit.p_right - (1 - MANNER_RELIABILITY)) / (2 * MANNER_RELIABILITY - 1)
    other: Manner = "quickly" if habit.right_manner == "slowly" else "slowly"
    if rng.random() < p_right_manner:
        return habit.right_manner, rng.random() < MANNER_RELIABILITY
    return other, rng.random() < 1 - MANNER_RELIABILITY


def completion_text(manner: Manner, reasoning: str, answer: str, error: FormatError | None = None) -> str:
    """Return reasoning and answer in the completion format, or with one format error."""
    think_end = "" if error == "no_think_end" else "</think>"
    start, end = ("", "") if error == "no_answer_tags" else ("<answer>", "</answer>")
    if error == "no_answer_end":
        end = ""
    body = f"{start} {answer}{end}"
    return f"<think> {manner}, {reasoning}{think_end}{body * 2 if error == 'twice' else body}"


def sample_completion(item: Item, habit: Habit, rng: random.Random) -> str:
    """Sample a completion from the pre-training distribution."""
    manner, right = sample_manner(habit, rng)
    solution = item.right if right else item.wrong
    error = habit.format_error if rng.random() < habit.format_error_rate else None
    return completion_text(manner, solution.reasoning, solution.answer, error)
