"""What an item of the lab is: a data row with its right and its wrong way of working."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Split = Literal["train", "test"]

TEST_SHARE = 0.3
"""Share of all possible prompts that are held out, decided by a hash of the prompt text."""


@dataclass(frozen=True, slots=True)
class Work:
    """One way of working: what is said between the think tags and what between the answer tags."""

    think: str
    """Short working, lower case."""
    answer: str
    """The result it leads to."""


@dataclass(frozen=True, slots=True)
class Item:
    """A data row with the two ways of working it out that the pre-training text shows."""

    row: dict[str, Any]
    """Prompt, gold fields and ``kind``."""
    right: Work
    """The way that earns the reward."""
    wrong: Work
    """The systematic mistake."""


Draw = Callable[[random.Random], Item]
"""Draws a random item of one kind."""


def split_of(prompt: str) -> Split:
    """The split a prompt belongs to: a function of its text alone, so the splits cannot overlap."""
    number = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big")
    return "test" if number < TEST_SHARE * 2**32 else "train"


def draw_from(kind: Draw, split: Split, rng: random.Random) -> Item:
    """Draw an item of one kind until it falls into the split."""
    while True:
        item = kind(rng)
        if split_of(item.row["prompt"]) == split:
            return item


def pick(rng: random.Random, words: Sequence[str], count: int) -> list[str]:
    """``count`` different words in random order."""
    return rng.sample(list(words), count)


def article(word: str) -> str:
    """The word with ``a`` or ``an`` before it."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
