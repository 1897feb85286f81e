"""Interfaces of rewards, and the weighted sum of a task's components (A.1 of the paper)."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from omnithinker.config.rewards import RewardSettings
from omnithinker.rewards.probes import Probe, ProbeContext
from omnithinker.rewards.row_fields import RowField
from omnithinker.types import Prompt, RewardOutput, Score, Trajectory, Undefined, Value

if TYPE_CHECKING:
    from omnithinker.config.recipe import Recipe
    from omnithinker.rewards.resources import Resources

Result = TypeVar("Result")

ComponentOutput = Value | RewardOutput | None
"""Output of a component for one completion: a value, alone or with details. None means undefined."""
ComponentResult = ComponentOutput | Exception
"""Output of a component for one completion, or the exception that scoring this completion raised."""


@dataclass(slots=True)
class Progress:
    """Training progress, shared by the training loop and the rewards that depend on it."""

    step: int = 0
    """Steps finished."""
    steps: int = 0
    """Steps of the whole run; 0 outside training."""


class GroupScorer(Protocol):
    """Anything that scores the completions of a prompt."""

    def score_group(
        self, prompt: Prompt, completions: Sequence[Trajectory]
    ) -> Sequence[ComponentResult] | Awaitable[Sequence[ComponentResult]]:
        """Score G completions of one prompt; may be a coroutine. Must be safe to call from several threads.

        Returns:
            [G] outputs. Each value is a number in [0, 1] or :class:`Undefined`; functions written for other trainers
            may return ``None`` for undefined. An exception marks a completion that could not be scored.

        Raises:
            Exception: if the mechanism as a whole failed; stops the run with the component's name.
        """
        ...


@runtime_checkable
class DetailedScorer(Protocol):
    """A scorer that can return details which are too expensive during training."""

    def score_group_with_details(
        self, prompt: Prompt, completions: Sequence[Trajectory]
    ) -> Sequence[ComponentResult] | Awaitable[Sequence[ComponentResult]]:
        """Return the values of :meth:`GroupScorer.score_group` with details."""
        ...


class Reward(ABC):
    """A reward mechanism that recipes name by ``kind``.

    A subclass declares all that the rest of the program needs to know about it. It is added to
    :data:`omnithinker.config.registry.REWARDS` under its kind.
    """

    Settings: ClassVar[type[RewardSettings]]
    """Settings in recipes; a subclass of RewardSettings with a Literal ``kind``."""
    row_fields: ClassVar[tuple[RowField, ...]] = ()
    """Required row fields. The first name of the first field is the gold field, which other trainers pass alone."""
    threads: ClassVar[int | None] = None
    """Maximum groups scored at once if ``score_group`` is not a coroutine; None for the scorer's default."""
    needs_sandbox: ClassVar[bool] = False
    """True if scoring runs model-written code."""
    probed_rows: ClassVar[int | None] = None
    """Maximum rows that ``check`` scores probes of; None for no limit."""
    missing_probe_notes: ClassVar[Mapping[str, str]] = {}
    """Notes of ``check``, by the name of a probe that no row provided."""

    @classmethod
    def build(cls, settings: Any, place: str, resources: Resources) -> GroupScorer:
        """Create the scorer of one component.

        Args:
            settings: Instance of ``cls.Settings``.
            place: Path of the settings in the recipe, ``tasks.<task>.rewards.<component>``, for messages.
            resources: Sandbox, judges and other objects that components share.
        """
        return cls()

    @classmethod
    def check_row(cls, row: Mapping[str, Any], place: str) -> None:
        """Check that a row has the required fields, with usable values.

        Args:
            row: Data row.
            place: File and line of the row, for messages.

        Raises:
            DataError: if a field is missing or has an invalid value.
        """
        for field in cls.row_fields:
            field.check(row, place)

    @classmethod
    def refusal(cls, row: Mapping[str, Any], recipe: Recipe) -> str | None:
        """Return the reason that this reward cannot judge any completion of a valid row; None if it can.

        Such rows are left out of the data and counted; their rewards would all be undefined.
        """
        return None

    @classmethod
    def gold_field(cls) -> str | None:
        """Return the name of the row field with the gold answer, if any."""
        return cls.row_fields[0].names[0] if cls.row_fields else None

    @classmethod
    def probes(cls, row: Mapping[str, Any], context: ProbeContext) -> list[Probe]:
        """Return completions of a row whose reward is known."""
        return []

    @abstractmethod
    def score_group(
        self, prompt: Prompt, completions: Sequence[Trajectory]
    ) -> Sequence[ComponentResult] | Awaitable[Sequence[ComponentResult]]:
        """Score G completions of one prompt; see :meth:`GroupScorer.score_group`."""


@dataclass(frozen=True, slots=True)
class Component:
    """A weighted reward of a task."""

    name: str
    """Name in the recipe."""
    reward: GroupScorer
    """Scorer of its completions."""
    weight: float
    """w_r of A.1."""
    primary: bool
    """True if it decides correctness."""
    deadline_s: float | None = None
    """Time limit per group, seconds; None for none."""
    on_error: Literal["stop", "undefined"] = "stop"
    """Effect of an exception: stop the run, or leave the component undefined."""
    threads: int | None = None
    """Maximum groups scored at once if ``score_group`` is not a coroutine; None for the scorer's default."""


async def gather_all(work: Iterable[Awaitable[Result]]) -> list[Result]:
    """Await everything concurrently and return the results.

    An exception is raised only after everything has ended, so that no paid reply is lost.

    Raises:
        BaseException: the first exception in the order of ``work``.
    """
    results: list[Result] = []
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results


def with_details(components: Sequence[Component]) -> tuple[Component, ...]:
    """Return the components, each set to return details if its scorer supports them."""
    return tuple(
        replace(component, reward=_WithDetails(component.reward))
        if isinstance(component.reward, DetailedScorer)
        else component
        for component in components
    )


@dataclass(frozen=True, slots=True)
class _WithDetails:
    reward: DetailedScorer

    def score_group(
        self, prompt: Prompt, completions: Sequence[Trajectory]
    ) -> Sequence[ComponentResult] | Awaitable[Sequence[ComponentResult]]:
        return self.reward.score_group_with_details(prompt, completions)


def combine(components: Sequence[Component], outputs: Sequence[ComponentOutput]) -> Score:
    """Sum the weighted defined components of one completion (A.1; weights are not renormalized).

    ``reward`` is None if no primary component is defined.

    Args:
        components: [m] components of the task.
        outputs: [m] output of each for this completion.
    """
    values: dict[str, float | None] = {}
    causes: dict[str, str] = {}
    details: dict[str, Mapping[str, Any]] = {}
    metrics: dict[str, Mapping[str, float]] = {}
    total = 0.0
    primary: list[float] = []
    for component, output in zip(components, outputs, strict=True):
        value = output.value if isinstance(output, RewardOutput) else output
        if component_details := _details(output):
            details[component.name] = component_details
        if isinstance(output, RewardOutput) and output.metrics:
            metrics[component.name] = output.metrics
        if value is None or isinstance(value, Undefined):
            values[component.name] = None
            causes[component.name] = "undefined" if value is None else value.cause
            continue
        values[component.name] = float(value)
        total += component.weight * float(value)
        if component.primary:
            primary.append(float(value))
    return Score(
        reward=total if primary else None,
        components=values,
        causes=causes,
        details=details,
        metrics=metrics,
        correct=sum(primary) / len(primary) if primary else None,
    )


def _details(output: ComponentOutput) -> Mapping[str, Any]:
    value = output.value if isinstance(output, RewardOutput) else output
    reason = {"undefined": value.detail} if isinstance(value, Undefined) and value.detail else {}
    return {**reason, **output.details} if isinstance(output, RewardOutput) else reason
