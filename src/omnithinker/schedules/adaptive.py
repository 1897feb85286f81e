"""Adaptive mixture: shares follow recent accuracy. The example to follow for a schedule that decides during a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from omnithinker.config.base import Settings
from omnithinker.io.step_metrics import StepMetrics
from omnithinker.schedules.base import Batch, ScheduleInputs, State
from omnithinker.schedules.shares import apportion, next_prompts, step_sizes


class AdaptiveSettings(Settings):
    """Dependence of the tasks' shares on their recent training accuracy, for the schedule ``adaptive``."""

    criterion: Literal["variance", "progress"] = "variance"
    """Tasks that get a larger share: those with an accuracy near one half, where rewards vary most within a group
    (``variance``), or those with the fastest change of accuracy, up or down (``progress``)."""
    ema_steps: float = Field(10.0, ge=1)
    """Time constant of the exponential moving average of a task's accuracy, in steps with that task."""
    min_share: float = Field(0.2, gt=0, le=1)
    """Fraction of its share that a task keeps at score 0; 1 fixes all shares."""


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Mixture with shares that follow the training accuracy.

    The share of a task is ``share x (min_share + (1 - min_share) x score)``. By ``criterion``, the score is
    4 a (1 - a) for a recent accuracy a, or the change of a relative to the task with the largest change. It lies in
    [0, 1], and is 1 for a task without any accuracy so far.

    The state holds, per task: ``consumed`` (prompts so far), ``credit`` (prompts owed), ``accuracy`` (exponential
    moving average of the accuracy), ``trend`` (exponential moving average of ``accuracy``; the difference of the two
    measures the change).
    """

    label: ClassVar[str] = "adaptive mixture"
    ordered: ClassVar[bool] = False
    settings_class: ClassVar[type[Settings]] = AdaptiveSettings

    inputs: ScheduleInputs
    """Data sizes, initial shares, training settings and seed."""
    settings: AdaptiveSettings
    """Dependence of shares on accuracy."""

    @classmethod
    def build(cls, inputs: ScheduleInputs, settings: AdaptiveSettings) -> Adaptive:
        """Build the schedule of a run."""
        return cls(inputs, settings)

    def __len__(self) -> int:
        """Return the number of steps of the whole run."""
        return len(self._step_sizes())

    def initial_state(self) -> State:
        """Return a state without any accuracy."""
        zero = dict.fromkeys(self.inputs.sizes, 0)
        return {"consumed": zero, "credit": dict.fromkeys(self.inputs.sizes, 0.0), "accuracy": {}, "trend": {}}

    def batch(self, step: int, state: State) -> Batch:
        """Return the next prompts of every task, by the current shares."""
        counts, _ = self._counts(step, state)
        return next_prompts(counts, state["consumed"], self.inputs.sizes, seed=self.inputs.seed, step=step)

    def after(self, step: int, state: State, metrics: StepMetrics) -> State:
        """Return the state with the prompts and accuracies of a step added."""
        counts, credit = self._counts(step, state)
        average, trend = dict(state["accuracy"]), dict(state["trend"])
        rate = 1 / self.settings.ema_steps
        for task, accuracy in metrics.per_task("accuracy").items():
            average[task] = average[task] + rate * (accuracy - average[task]) if task in average else accuracy
            trend[task] = trend[task] + rate * (average[task] - trend[task]) if task in trend else accuracy
        consumed = {task: state["consumed"][task] + counts[task] for task in self.inputs.sizes}
        return {"consumed": consumed, "credit": credit, "accuracy": average, "trend": trend}

    def current_shares(self, state: State) -> dict[str, float]:
        """Return each task's share of the next step's prompts; the sum is 1."""
        min_share, scores = self.settings.min_share, self._scores(state)
        shares = {
            task: self.inputs.shares[task] * (min_share + (1 - min_share) * scores[task]) for task in self.inputs.sizes
        }
        total = sum(shares.values())
        return {task: share / total for task, share in shares.items()}

    def _scores(self, state: State) -> dict[str, float]:
        average, trend, tasks = state["accuracy"], state["trend"], self.inputs.sizes
        if self.settings.criterion == "variance":
            return {task: 4 * average[task] * (1 - average[task]) if task in average else 1.0 for task in tasks}
        changes = {task: abs(average[task] - trend[task]) for task in average}
        largest = max(changes.values(), default=0.0)
        return {task: changes[task] / largest if task in changes and largest > 0 else 1.0 for task in tasks}

    def _counts(self, step: int, state: State) -> tuple[dict[str, int], dict[str, float]]:
        return apportion(self._step_sizes()[step], self.current_shares(state), state["credit"])

    def _step_sizes(self) -> list[int]:
        inputs = self.inputs
        sizes = step_sizes(inputs.sizes, prompts_per_step=inputs.prompts_per_step, epochs=inputs.epochs)
        return sizes[: inputs.max_steps]
