"""What a reward is, and how a task's components add up (A.1 of the paper)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from omnithinker.types import Prompt, RewardOutput, Score, Trajectory, Undefined, Value

Result = TypeVar("Result")

Answer = Value | RewardOutput | None
"""What a component says of a completion: a value, alone or explained; None stands for undefined."""
Given = Answer | Exception
"""What a reward may return for a completion: an answer, or in its place the error of a mechanism that failed on this
completion and not on its neighbours."""


@dataclass(slots=True)
class Progress:
    """Where a run stands, shared by its loop and by rewards that depend on it."""

    step: int = 0
    """Steps finished."""
    steps: int = 0
    """Steps of the whole run; 0 outside training."""


@runtime_checkable
class Reward(Protocol):
    """One mechanism of reward. Sees the whole group at once, so that judges can batch and compare."""

    def score_group(
        self, prompt: Prompt, completions: Sequence[Trajectory]
    ) -> Sequence[Given] | Awaitable[Sequence[Given]]:
        """Score G completions of one prompt.

        Returns:
            [G] values, each a number in [0, 1] or :class:`Undefined` (``None`` is allowed for functions written
            for other trainers), or one of these in an :class:`RewardOutput`; an exception where the mechanism failed on
            one completion. May be a coroutine. Must be safe to call from several threads.

        Raises:
            Exception: a fault of the mechanism; it stops the run with the component's name.
        """
        ...


@runtime_checkable
class Explains(Protocol):
    """A reward that can tell more than training needs, at a cost that training should not pay."""

    def explain_group(
        self, prompt: Prompt, completions: Sequence[Trajectory]
    ) -> Sequence[Given] | Awaitable[Sequence[Given]]:
        """As :meth:`Reward.score_group`, with the same values, explained."""
        ...


@dataclass(frozen=True, slots=True)
class Component:
    """A reward as a task uses it: name, weight, and whether it decides correctness."""

    name: str
    reward: Reward
    weight: float
    primary: bool
    deadline_s: float | None = None
    """Seconds after which it is given up for a group; None for never."""
    on_error: Literal["stop", "undefined"] = "stop"
    """Whether an error of the mechanism ends the run or leaves the component undefined."""
    threads: int | None = None
    """Groups it may score at once, where it is a plain function; by default as many as the scorer allows."""


async def all_of(work: Iterable[Awaitable[Result]]) -> list[Result]:
    """Results of everything, side by side.

    An error is raised only when nothing is under way any more, so that no reply that is paid for gets lost.

    Raises:
        BaseException: the first error, in the order of ``work``.
    """
    results: list[Result] = []
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results


def explaining(components: Sequence[Component]) -> tuple[Component, ...]:
    """The same components; those that can explain their values do so."""
    return tuple(
        replace(component, reward=_Explaining(component.reward))
        if isinstance(component.reward, Explains)
        else component
        for component in components
    )


@dataclass(frozen=True, slots=True)
class _Explaining:
    reward: Explains

    def score_group(
        self, prompt: Prompt, completions: Sequence[Trajectory]
    ) -> Sequence[Given] | Awaitable[Sequence[Given]]:
        return self.reward.explain_group(prompt, completions)


def combine(components: Sequence[Component], values: Sequence[Answer]) -> Score:
    """Weighted sum over the defined components of one completion (A.1; weights as written).

    A completion without any defined primary component is undefined: its ``reward`` is None.

    Args:
        components: [m] the task's components.
        values: [m] what each said of this completion.
    """
    defined: dict[str, float | None] = {}
    causes: dict[str, str] = {}
    details: dict[str, Mapping[str, Any]] = {}
    metrics: dict[str, Mapping[str, float]] = {}
    total = 0.0
    primary: list[float] = []
    for component, answer in zip(components, values, strict=True):
        value = answer.value if isinstance(answer, RewardOutput) else answer
        if told := _details(answer):
            details[component.name] = told
        if isinstance(answer, RewardOutput) and answer.metrics:
            metrics[component.name] = answer.metrics
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
        details=details,
        metrics=metrics,
        correct=sum(primary) / len(primary) if primary else None,
    )


def _details(answer: Answer) -> Mapping[str, Any]:
    value = answer.value if isinstance(answer, RewardOutput) else answer
    why = {"undefined": value.detail} if isinstance(value, Undefined) and value.detail else {}
    return {**why, **answer.details} if isinstance(answer, RewardOutput) else why
