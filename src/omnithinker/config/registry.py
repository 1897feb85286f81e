"""Registries of implementations by the name that recipes use.

A registered class declares everything about itself, such as settings, required row fields and probes. Adding one takes
its own file and one line here. Classes are imported when they are first used.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from omnithinker.errors import RecipeError


class Registry:
    """Classes by name.

    Args:
        noun: Kind of class, for messages: ``reward`` or ``schedule``.
        entries: ``package.module:Class`` by name.
    """

    def __init__(self, noun: str, entries: Mapping[str, str]) -> None:
        self.noun = noun
        self._entries = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def register(self, name: str, target: str) -> None:
        """Add a class of another package.

        Args:
            name: Name that recipes use.
            target: ``package.module:Class``.

        Raises:
            ValueError: if the name is taken.
        """
        if name in self._entries:
            raise ValueError(f"{self.noun} {name!r} is registered already: {self._entries[name]}")
        self._entries[name] = target

    def unregister(self, name: str) -> None:
        """Remove a class."""
        del self._entries[name]

    def load(self, name: str) -> Any:
        """Import and return the class registered under a name.

        Raises:
            RecipeError: if the name is unknown; the message suggests the nearest one.
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
        "python": "omnithinker.rewards.external:PythonReward",
    },
)
FORMATS = Registry(
    "format",
    {
        "trl": "omnithinker.data.formats.trl:FORMAT",
        "verl": "omnithinker.data.formats.verl:FORMAT",
        "sharegpt": "omnithinker.data.formats.sharegpt:FORMAT",
        "gsm8k": "omnithinker.data.formats.gsm8k:FORMAT",
        "humaneval": "omnithinker.data.formats.humaneval:FORMAT",
        "mbpp": "omnithinker.data.formats.mbpp:FORMAT",
        "sciq": "omnithinker.data.formats.sciq:FORMAT",
        "arc": "omnithinker.data.formats.arc:FORMAT",
        "openbookqa": "omnithinker.data.formats.arc:FORMAT",
        "commonsenseqa": "omnithinker.data.formats.arc:FORMAT",
        "mmlu": "omnithinker.data.formats.mmlu:FORMAT",
        "mmlu_pro": "omnithinker.data.formats.mmlu:FORMAT",
        "llm_adapters": "omnithinker.data.formats.llm_adapters:FORMAT",
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
