"""The base model's habits: how the pre-training text works items out, and with what mistakes.

Random errors would leave greedy decoding perfect, because the right way stays the most frequent one. Habits are
systematic: each kind of item is worked out the right way with its own probability, below one half for about half
of the kinds. Many habits hang together with the first word of the working, ``slowly`` or ``quickly``: the same word
in every domain, of use in some kinds and of harm in others. This is what makes training on one domain move others.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from omnithinker.lab.items import Item

Manner = Literal["slowly", "quickly"]
Slip = Literal["no_think_end", "no_answer_tags", "twice", "no_answer_end"]

FAITH = 0.88
"""Probability of the right way when the item's working begins with the word that suits its kind."""


@dataclass(frozen=True, slots=True)
class Habit:
    """How one kind of item is worked out in the pre-training text."""

    right: float
    """Probability of the right way."""
    suits: Manner | None
    """First word that goes with the right way; None where it does not matter."""
    slip: Slip
    """The mistake of format that occurs."""
    slip_rate: float
    """Its probability."""


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


def manner_and_way(habit: Habit, rng: random.Random) -> tuple[Manner, bool]:
    """Draw the first word of the working, and whether the right way follows."""
    if habit.suits is None:
        return rng.choice(("slowly", "quickly")), rng.random() < habit.right
    # P(right) = FAITH p + (1 - FAITH)(1 - p), solved for p, the probability of the word that suits.
    suiting = (habit.right - (1 - FAITH)) / (2 * FAITH - 1)
    other: Manner = "quickly" if habit.suits == "slowly" else "slowly"
    suits = rng.random() < suiting
    return (habit.suits if suits else other), rng.random() < (FAITH if suits else 1 - FAITH)


def completion_text(manner: Manner, think: str, answer: str, slip: Slip | None = None) -> str:
    """Working and answer in the completion format, or with one mistake of format."""
    think_end = "" if slip == "no_think_end" else "</think>"
    start, end = ("", "") if slip == "no_answer_tags" else ("<answer>", "</answer>")
    if slip == "no_answer_end":
        end = ""
    body = f"{start} {answer}{end}"
    return f"<think> {manner}, {think}{think_end}{body * 2 if slip == 'twice' else body}"


def habitual_completion(item: Item, habit: Habit, rng: random.Random) -> str:
    """Draw a completion as the pre-training text has it."""
    manner, right = manner_and_way(habit, rng)
    work = item.right if right else item.wrong
    slip = habit.slip if rng.random() < habit.slip_rate else None
    return completion_text(manner, work.think, work.answer, slip)
