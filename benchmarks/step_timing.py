"""Clocks for the steps of a trainer, and our trainer under such a clock."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnithinker.io.step_metrics import StepMetrics
from omnithinker.schedules.base import FixedSchedule
from omnithinker.train.trainer import train
from step_cases import Case


@dataclass(frozen=True)
class Timed:
    """One step."""

    wall: float
    """Seconds from the end of the step before to its own."""
    cpu: float
    """CPU seconds of this process in that time."""
    generate: float
    """Seconds of generating, and of waiting for rewards."""
    tokens: int
    """Trajectory tokens."""


@dataclass
class Clock:
    """Collects the steps of a run."""

    steps: list[Timed] = field(default_factory=list)
    generate: float = 0.0
    last: tuple[float, float] = field(default_factory=lambda: (time.perf_counter(), time.process_time()))

    @contextmanager
    def part(self) -> Iterator[None]:
        """Time spent in generation."""
        started = time.perf_counter()
        yield
        self.generate += time.perf_counter() - started

    def step(self, tokens: int) -> None:
        """A step has ended that drew this many completion tokens."""
        now = (time.perf_counter(), time.process_time())
        wall, cpu = (b - a for a, b in zip(self.last, now, strict=True))
        self.steps.append(Timed(wall, cpu, self.generate, tokens))
        self.last, self.generate = now, 0.0


class _Observer:
    def __init__(self) -> None:
        self.clock = Clock()
        self.zero: list[float] = []

    def on_step(self, metrics: StepMetrics, total: int) -> None:
        self.clock.generate = metrics.seconds.generate + metrics.seconds.wait
        self.clock.step(metrics.tokens)
        self.zero.append(statistics.mean(metrics.per_task("frac_reward_zero_std").values()))

    def note(self, text: str) -> None:
        raise RuntimeError(text)

    def on_evaluate(self, policy: Any, step: int) -> None:
        raise RuntimeError("the workload has no evaluation")


def run_ours(case: Case, work: Path) -> tuple[list[Timed], list[float]]:
    """Every step of a schedule but the first (warm-up) and the last (which writes a checkpoint).

    Returns:
        The steps, and for each the share of groups without variance.
    """
    folder = work / "ours"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    observer = _Observer()
    train(case.recipe, case.prompts, FixedSchedule(case.schedule), case.scorer, folder, observer, seed=0)
    return observer.clock.steps[1:-1], observer.zero[1:-1]
