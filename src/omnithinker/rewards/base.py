"""What a reward is, and how a task's components add up (A.1 of the paper)."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from omnithinker.types import Completion, Prompt, Score, Undefined, Value


@runtime_checkable
class Reward(Protocol):
    """One mechanism of reward. Sees the whole group at once, so that judges can batch and compare."""

    def score_group(
        self, prompt: Prompt, completions: Sequence[Completion]
    ) -> Sequence[Value | None] | Awaitable[Sequence[Value | None]]:
        """Score G completions of one prompt.

        Returns:
            [G] values, each a number in [0, 1] or :class:`Undefined` (``None`` is allowed for functions written
            for other trainers). May be a coroutine. Must be safe to call from several threads.

        Raises:
            Exception: a fault of the mechanism; it stops the run with the component's name.
        """
        ...


@dataclass(frozen=True, slots=True)
class Component:
    """A reward as a task uses it: name, weight, and whether it decides correctness."""

    name: str
    reward: Reward
    weight: float
    primary: bool


def combine(components: Sequence[Component], values: Sequence[Value | None]) -> Score:
    """Weighted sum over the defined components of one completion (A.1; weights as written).

    A completion without any defined primary component is undefined: its ``reward`` is None.

    Args:
        components: [m] the task's components.
        values: [m] what each said of this completion.
    """
    defined: dict[str, float | None] = {}
    causes: dict[str, str] = {}
    total = 0.0
    primary: list[float] = []
    for component, value in zip(components, values, strict=True):
        if value is None or isinstance(value, Undefined):
            defined[component.name] = None
            causes[component.name] = "undefined" if value is None else value.cause
            continue
        defined[component.name] = float(value)
        total += component.weight * float(value)
        if component.primary:
            primary.append(float(value))
    return Score(
        reward=total if primary else None,
        components=defined,
        causes=causes,
        correct=sum(primary) / len(primary) if primary else None,
    )
