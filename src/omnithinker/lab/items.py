"""Items of the lab: data rows with a correct and an incorrect solution."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Split = Literal["train", "test"]

TEST_FRACTION = 0.3
"""Fraction of all possible prompts held out, by a hash of the prompt."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Content of the think and answer tags of a completion."""

    reasoning: str
    """Short reasoning, lower case."""
    answer: str
    """Answer that the reasoning leads to."""


@dataclass(frozen=True, slots=True)
class Item:
    """A data row with the two solutions that occur in the pre-training text."""

    row: dict[str, Any]
    """Prompt, reference fields and ``kind``."""
    right: Solution
    """Solution that earns the reward."""
    wrong: Solution
    """Solution with the systematic mistake of the kind."""


ItemSampler = Callable[[random.Random], Item]
"""Samples a random item of one kind."""


def split_of(prompt: str) -> Split:
    """Return the split of a prompt. It depends on the text alone, so splits cannot overlap."""
    number = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big")
    return "test" if number < TEST_FRACTION * 2**32 else "train"


def sample_item(sampler: ItemSampler, split: Split, rng: random.Random) -> Item:
    """Sample items of one kind until one belongs to the split."""
    while True:
        item = sampler(rng)
        if split_of(item.row["prompt"]) == split:
            return item


def sample_words(rng: random.Random, words: Sequence[str], count: int) -> list[str]:
    """Sample ``count`` distinct words in random order."""
    return rng.sample(list(words), count)


def article(word: str) -> str:
    """Return the word with its indefinite article."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
