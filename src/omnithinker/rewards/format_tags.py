"""Rewards for the output format: the whole format, and the share of its markers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from omnithinker.config.rewards import RewardSettings
from omnithinker.rewards.base import Reward
from omnithinker.rewards.probes import Probe, ProbeContext, formatted
from omnithinker.types import Prompt, Trajectory, Value

MARKERS = ("<think>", "</think>", "<answer>", "</answer>")
"""Markers of the format, in the required order."""
_FORMAT = re.compile(r"\s*<think>.*</think>\s*<answer>.*</answer>\s*", re.DOTALL)


def well_formed(text: str) -> bool:
    """Return True if a text is one ``<think>...</think>`` followed by one ``<answer>...</answer>`` (A.1).

    Only white space may surround them.
    """
    return all(text.count(marker) == 1 for marker in MARKERS) and _FORMAT.fullmatch(text) is not None


def tag_share(text: str) -> float:
    """Return the share of the four markers that occur exactly once (A.1): 0, 0.25, 0.5, 0.75 or 1."""
    return sum(text.count(marker) == 1 for marker in MARKERS) / len(MARKERS)


class _FormatReward(Reward):
    """Base of rewards that read only the text of the completion, never the row."""

    probed_rows = 1

    @classmethod
    def probes(cls, row: Mapping[str, Any], context: ProbeContext) -> list[Probe]:
        """Return one completion in the format and one without any marker."""
        return [Probe("in the format", formatted("7"), 1.0, "-"), Probe("bare text", "7", 0.0, "-")]


class Format(_FormatReward):
    """1 for a well-formed completion, else 0."""

    class Settings(RewardSettings):
        """Settings of ``format``."""

        kind: Literal["format"] = "format"
        primary: bool = False

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[Value]:
        """Return [G] values, 0 or 1; always defined."""
        return [float(well_formed(completion.text)) for completion in completions]


class Tags(_FormatReward):
    """Share of the markers that occur exactly once: partial credit for the format."""

    class Settings(RewardSettings):
        """Settings of ``tags``."""

        kind: Literal["tags"] = "tags"
        primary: bool = False

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[Value]:
        """Return [G] values in {0, 0.25, 0.5, 0.75, 1}; always defined."""
        return [tag_share(completion.text) for completion in completions]
