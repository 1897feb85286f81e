"""Rewards for the output format: whole format, and the share of its markers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from omnithinker.types import Prompt, Trajectory, Value

MARKERS = ("<think>", "</think>", "<answer>", "</answer>")
"""The four markers of the format, in the order they must have."""
_SHAPE = re.compile(r"\s*<think>.*</think>\s*<answer>.*</answer>\s*", re.DOTALL)


def well_formed(text: str) -> bool:
    """Whether a text is one ``<think>...</think>`` and one ``<answer>...</answer>``, only space around them (A.1)."""
    return all(text.count(marker) == 1 for marker in MARKERS) and _SHAPE.fullmatch(text) is not None


def tag_share(text: str) -> float:
    """Share of the four markers that occur exactly once (A.1): 0, 0.25, 0.5, 0.75 or 1."""
    return sum(text.count(marker) == 1 for marker in MARKERS) / len(MARKERS)


class Format:
    """1 for a well-formed completion, else 0."""

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[Value]:
        """[G] values, 0 or 1; always defined."""
        return [float(well_formed(completion.text)) for completion in completions]


class Tags:
    """Share of the markers that occur exactly once: partial credit on the way to the format."""

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[Value]:
        """[G] values in {0, 0.25, 0.5, 0.75, 1}; always defined."""
        return [tag_share(completion.text) for completion in completions]
