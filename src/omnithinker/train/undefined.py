"""Stops a run whose rewards fail too often: the completions that remain would bias the update."""

from __future__ import annotations

from collections import Counter, deque

from omnithinker.errors import RewardError
from omnithinker.io.step_metrics import StepMetrics, TaskMetrics

WINDOW = 50
"""Steps of a task over which failures are counted."""


class UndefinedLimit:
    """Counts undefined reward components per task.

    Args:
        limit: largest share of completions for which a component may be undefined, over :data:`WINDOW` steps of its
            task. The run stops as soon as that many have failed, even if the window is not full.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._steps: dict[str, deque[TaskMetrics]] = {}

    def add(self, metrics: StepMetrics) -> None:
        """Count the undefined components of one step.

        Raises:
            RewardError: if a component exceeds the limit; names task, component and causes.
        """
        for task, of_task in metrics.tasks.items():
            window = self._steps.setdefault(task, deque(maxlen=WINDOW))
            window.append(of_task)
            self._check(task, window)

    def _check(self, task: str, window: deque[TaskMetrics]) -> None:
        failures: dict[str, Counter[str]] = {}
        for step in window:
            for component, causes in step.causes.items():
                failures.setdefault(component, Counter()).update(causes)
        allowed = self.limit * WINDOW * sum(step.completions for step in window) / len(window)
        for component, causes_of_component in failures.items():
            total = causes_of_component.total()
            if total > allowed:
                listed = ", ".join(f"{cause} {count}" for cause, count in sorted(causes_of_component.items()))
                raise RewardError(
                    f"reward {component!r} of task {task!r} was undefined for {total} completions in "
                    f"{len(window)} steps ({listed}); training.max_undefined = {self.limit} allows "
                    f"{allowed:g}. Fix the reward, or raise the limit"
                )
