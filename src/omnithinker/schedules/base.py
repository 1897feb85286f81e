"""Protocols of schedules, and the schedule of a fixed list of batches."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from omnithinker.config.base import Settings
from omnithinker.io.step_metrics import StepMetrics


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt of a batch."""

    task: str
    """Name of the task."""
    index: int
    """Row of the task's training data, from 0."""
    epoch: int
    """Pass over the data, from 0."""


Batch = tuple[Item, ...]
"""The P prompts of one step (fewer in the last step of an epoch)."""

State = Mapping[str, Any]
"""Memory of a schedule between steps, as JSON values; empty for fixed schedules."""


class Schedule(Protocol):
    """Selects the prompts of each training step.

    A schedule is immutable. Its memory is a separate value, the state: the trainer passes it to every call and stores
    it in every checkpoint, so resuming needs no code in the schedule.
    """

    def __len__(self) -> int:
        """Return the number of steps of the whole run."""
        ...

    def initial_state(self) -> State:
        """Return the state before the first step."""
        ...

    def batch(self, step: int, state: State) -> Batch:
        """Return the prompts of a step, counted from 0."""
        ...

    def after(self, step: int, state: State, metrics: StepMetrics) -> State:
        """Return the state after a step.

        Args:
            step: the finished step, counted from 0.
            state: the state that its batch was selected with.
            metrics: measurements of the step.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleInputs:
    """Inputs that every registered schedule is built from."""

    sizes: Mapping[str, int]
    """Training prompts per task, tasks in training order."""
    shares: Mapping[str, float]
    """Share of prompts per task, positive; only ratios count."""
    prompts_per_step: int
    """P."""
    epochs: int
    """Passes over the data: the run has epochs x (sum of sizes) prompts."""
    seed: int
    """Seed of the data order."""
    max_steps: int | None = None
    """Largest number of steps; None for no limit."""


class RegisteredSchedule(Schedule, Protocol):
    """A class of schedules that recipes and the command line select by name."""

    label: ClassVar[str]
    """Name in the report."""
    ordered: ClassVar[bool]
    """True if the order of the tasks matters."""
    settings_class: ClassVar[type[Settings] | None]
    """Settings in the recipe's group ``[schedules.<name>]``; None for a schedule without settings."""

    @classmethod
    def build(cls, inputs: ScheduleInputs, settings: Any) -> Schedule:
        """Build the schedule of a run.

        Args:
            inputs: data sizes, shares, training settings and seed.
            settings: an instance of ``settings_class``, or None.
        """
        ...


@dataclass(frozen=True, slots=True)
class FixedSchedule:
    """A list of batches as a schedule; its state is empty."""

    batches: Sequence[Batch]
    """All steps."""

    def __len__(self) -> int:
        """Return the number of steps of the whole run."""
        return len(self.batches)

    def initial_state(self) -> State:
        """Return an empty state."""
        return {}

    def batch(self, step: int, state: State) -> Batch:
        """Return a step's entry of the list."""
        return self.batches[step]

    def after(self, step: int, state: State, metrics: StepMetrics) -> State:
        """Return the state unchanged."""
        return state


def count_tasks(batch: Batch) -> Counter[str]:
    """Count the prompts per task of a batch."""
    return Counter(item.task for item in batch)


def cut(items: Sequence[Item], size: int) -> list[Batch]:
    """Cut a list of prompts into batches; the last one may be smaller."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


@lru_cache(maxsize=64)
def task_order(task: str, size: int, seed: int, epoch: int) -> tuple[int, ...]:
    """Shuffle the rows of a task for one pass over them: [size] indices."""
    order = list(range(size))
    random.Random(f"task {task} {seed} {epoch}").shuffle(order)
    return tuple(order)
