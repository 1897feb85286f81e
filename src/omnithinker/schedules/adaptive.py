"""A schedule that moves the tasks' shares with their recent accuracy: a worked example of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from omnithinker.config.adaptive import AdaptiveSettings
from omnithinker.io.step_metrics import StepMetrics
from omnithinker.schedules.fixed import Batch, State, apportion, step_sizes, take


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveSchedule:
    """Mixture whose shares follow the training accuracy.

    A task's share is ``share x (min_share + (1 - min_share) x score)``. The score lies in [0, 1]: by ``criterion``,
    4 a (1 - a) for a recent accuracy a, or the change of a relative to the task that changes most. A task that has not
    been met yet scores 1.

    The state holds, per task: ``drawn`` (prompts so far), ``credit`` (prompts owed), ``recent`` (exponential average
    of the accuracy), ``earlier`` (exponential average of ``recent``, so that their difference tells the change).
    """

    sizes: Mapping[str, int]
    """Prompts per task."""
    shares: Mapping[str, float]
    """Where each task starts; only ratios count."""
    settings: AdaptiveSettings
    """How shares move."""
    prompts_per_step: int
    """P."""
    epochs: int
    """The run has epochs x (sum of sizes) prompts, as joint training has."""
    seed: int
    """Fixes the order of the prompts within a task."""
    max_steps: int | None = None
    """Stop after this many steps."""

    def __len__(self) -> int:
        """Steps of the whole run."""
        return len(self._step_sizes())

    def start(self) -> State:
        """Nothing drawn, nothing known."""
        zero = dict.fromkeys(self.sizes, 0)
        return {"drawn": zero, "credit": dict.fromkeys(self.sizes, 0.0), "recent": {}, "earlier": {}}

    def batch(self, step: int, state: State) -> Batch:
        """The next prompts of every task, as many as its share now is."""
        counts, _ = self._counts(step, state)
        return take(counts, state["drawn"], self.sizes, seed=self.seed, step=step)

    def after(self, step: int, state: State, metrics: StepMetrics) -> State:
        """Count what was drawn and learn from the accuracies of the step."""
        counts, credit = self._counts(step, state)
        recent, earlier = dict(state["recent"]), dict(state["earlier"])
        accuracies = metrics.per_task("accuracy")
        rate = 1 / self.settings.ema_steps
        for task in self.sizes:
            if (accuracy := accuracies.get(task)) is not None:
                recent[task] = recent[task] + rate * (accuracy - recent[task]) if task in recent else accuracy
                earlier[task] = earlier[task] + rate * (recent[task] - earlier[task]) if task in earlier else accuracy
        drawn = {task: state["drawn"][task] + counts[task] for task in self.sizes}
        return {"drawn": drawn, "credit": credit, "recent": recent, "earlier": earlier}

    def shares_now(self, state: State) -> dict[str, float]:
        """Per task, the share of the next step's prompts; they add up to 1."""
        min_share, scores = self.settings.min_share, self._scores(state)
        shares = {task: self.shares[task] * (min_share + (1 - min_share) * scores[task]) for task in self.sizes}
        total = sum(shares.values())
        return {task: share / total for task, share in shares.items()}

    def _scores(self, state: State) -> dict[str, float]:
        recent, earlier = state["recent"], state["earlier"]
        if self.settings.criterion == "variance":
            return {task: 4 * recent[task] * (1 - recent[task]) if task in recent else 1.0 for task in self.sizes}
        changes = {task: abs(recent[task] - earlier[task]) for task in recent}
        largest = max(changes.values(), default=0.0)
        return {task: changes[task] / largest if task in changes and largest > 0 else 1.0 for task in self.sizes}

    def _counts(self, step: int, state: State) -> tuple[dict[str, int], dict[str, float]]:
        return apportion(self._step_sizes()[step], self.shares_now(state), state["credit"])

    def _step_sizes(self) -> list[int]:
        return step_sizes(self.sizes, prompts_per_step=self.prompts_per_step, epochs=self.epochs)[: self.max_steps]
