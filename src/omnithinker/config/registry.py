"""Registries: implementations of a protocol by the name that recipes use, imported when first needed.

An implementation declares everything about itself (settings, row fields, probes, label); adding one takes its own file
and one line here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from omnithinker.errors import RecipeError


class Registry:
    """Classes by name.

    Args:
        noun: kind of implementation, for messages: ``reward``, ``schedule``.
        entries: per name, ``package.module:Class``.
    """

    def __init__(self, noun: str, entries: Mapping[str, str]) -> None:
        self.noun = noun
        self._entries = dict(entries)

    def __iter__(self) -> Any:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def load(self, name: str) -> Any:
        """Import and return the class registered under a name.

        Raises:
            RecipeError: if nothing is registered under it; names the nearest known name.
        """
        if name not in self._entries:
            raise RecipeError(f"no {self.noun} {name!r}{nearest(name, self._entries)}")
        module, _, attribute = self._entries[name].partition(":")
        return getattr(import_module(module), attribute)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message: the known name closest to ``name``, or all known names."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


REWARDS = Registry(
    "reward",
    {
        "math_answer": "omnithinker.rewards.math_answer:MathAnswer",
        "unit_tests": "omnithinker.rewards.unit_tests:UnitTests",
        "short_answer": "omnithinker.rewards.short_answer:ShortAnswer",
        "pairwise_judge": "omnithinker.rewards.pairwise_judge:PairwiseJudge",
        "format": "omnithinker.rewards.format_tags:Format",
        "tags": "omnithinker.rewards.format_tags:Tags",
    },
)
GENERATORS = Registry("generator", {"native": "omnithinker.rollout.native:NativeGenerator"})
SCHEDULES = Registry(
    "schedule",
    {
        "curriculum": "omnithinker.schedules.curriculum:Curriculum",
        "joint": "omnithinker.schedules.joint:Joint",
        "mixture": "omnithinker.schedules.mixture:Mixture",
        "adaptive": "omnithinker.schedules.adaptive:Adaptive",
    },
)
