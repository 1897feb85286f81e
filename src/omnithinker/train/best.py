"""Choosing by validation: which checkpoints were best so far, and how long nothing has improved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

BEST_FILE = "best.json"
"""In a folder of best weights: the step they are of, and the accuracy they were kept for."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best validation so far."""

    step: int
    """Training steps finished then; of equals the first."""
    accuracy: float
    """Greedy accuracy on validation items, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a run knows from its validations so far."""

    overall: Best | None = None
    """By the mean over the run's tasks."""
    tasks: Mapping[str, Best] = field(default_factory=dict)
    """By task."""
    waited: int = 0
    """Validations since the mean last rose; none counts before every task of the run has been trained."""
    trained: tuple[str, ...] = ()
    """Tasks that training steps have had so far, sorted."""

    def with_trained(self, tasks: Iterable[str]) -> Selection:
        """A step with these tasks is finished."""
        return replace(self, trained=tuple(sorted({*self.trained, *tasks})))

    def after(self, step: int, accuracies: Mapping[str, float]) -> Selection:
        """The policy was validated.

        Args:
            step: training steps finished.
            accuracies: of every task of the run.
        """
        overall = _better(self.overall, Best(step, fmean(accuracies.values())))
        tasks = {task: _better(self.tasks.get(task), Best(step, value)) for task, value in accuracies.items()}
        counts = set(accuracies) <= set(self.trained)
        waited = 0 if overall.step == step else self.waited + counts
        return Selection(overall, tasks, waited, self.trained)

    def folders(self) -> dict[str, Best]:
        """Names of the folders that keep the best weights: ``best`` by the mean, ``best-math`` by task."""
        overall = {"best": self.overall} if self.overall else {}
        return overall | {f"best-{task}": best for task, best in self.tasks.items()}

    def improved_at(self, step: int) -> bool:
        """Whether any best is of this step."""
        return any(best.step == step for best in self.folders().values())

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Selection:
        """Read what ``dataclasses.asdict`` made of a selection."""
        return cls(
            overall=Best(**value["overall"]) if value["overall"] else None,
            tasks={task: Best(**best) for task, best in value["tasks"].items()},
            waited=value["waited"],
            trained=tuple(value["trained"]),
        )


def _better(before: Best | None, now: Best) -> Best:
    return now if before is None or now.accuracy > before.accuracy else before
