"""Step timing, and a timed run of omnithinker's trainer."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from omnithinker.io.step_metrics import StepMetrics
from omnithinker.schedules.base import FixedSchedule
from omnithinker.train.trainer import Trainer
from step_cases import Case


@dataclass(frozen=True)
class StepTime:
    """Time of one step."""

    wall: float
    """Wall time since the end of the previous step, seconds."""
    cpu: float
    """CPU time of this process in the same interval, seconds."""
    generate: float
    """Time of generation, including the wait for rewards, seconds."""
    tokens: int
    """Completion tokens sampled."""


@dataclass
class StepTimer:
    """Records the steps of a run."""

    steps: list[StepTime] = field(default_factory=list)
    generate: float = 0.0
    last: tuple[float, float] = field(default_factory=lambda: (time.perf_counter(), time.process_time()))

    @contextmanager
    def generation(self) -> Iterator[None]:
        """Measure a block as generation."""
        started = time.perf_counter()
        yield
        self.generate += time.perf_counter() - started

    def step(self, tokens: int) -> None:
        """Record the end of a step with this many completion tokens."""
        now = (time.perf_counter(), time.process_time())
        wall, cpu = (b - a for a, b in zip(self.last, now, strict=True))
        self.steps.append(StepTime(wall, cpu, self.generate, tokens))
        self.last, self.generate = now, 0.0


class _Observer:
    def __init__(self) -> None:
        self.timer = StepTimer()
        self.frac_reward_zero_std: list[float] = []

    def on_step(self, metrics: StepMetrics, total: int) -> None:
        self.timer.generate = metrics.seconds.generate + metrics.seconds.wait
        self.timer.step(metrics.tokens)
        self.frac_reward_zero_std.append(statistics.mean(metrics.per_task("frac_reward_zero_std").values()))

    def note(self, text: str) -> None:
        raise RuntimeError(text)

    def on_evaluate(self, trainer: Trainer) -> None:
        raise RuntimeError("the workload has no evaluation")


def run_omnithinker(case: Case, work: Path) -> tuple[list[StepTime], list[float]]:
    """Time all steps of a schedule except the first (warm-up) and the last (writes a checkpoint).

    Returns:
        The step times, and the fraction of groups without reward variance in each step.
    """
    folder = work / "omnithinker"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    observer = _Observer()
    Trainer(case.recipe, case.prompts, FixedSchedule(case.schedule), case.scorer, folder, observer, seed=0).train()
    return observer.timer.steps[1:-1], observer.frac_reward_zero_std[1:-1]
