"""Selection by validation: the best checkpoints so far, and the number of validations without improvement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean


@dataclass(frozen=True, slots=True)
class Best:
    """The best validation so far."""

    step: int
    """Training steps finished; the first of equals."""
    accuracy: float
    """Greedy accuracy on validation items, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Validation results of a run so far."""

    overall: Best | None = None
    """Best mean over the run's tasks."""
    tasks: Mapping[str, Best] = field(default_factory=dict)
    """Best per task."""
    waited: int = 0
    """Validations since the mean last rose; those before every task has been trained do not count."""
    trained: tuple[str, ...] = ()
    """Tasks trained so far, sorted."""

    def with_trained(self, tasks: Iterable[str]) -> Selection:
        """Return the selection after a step with these tasks."""
        return replace(self, trained=tuple(sorted({*self.trained, *tasks})))

    def after(self, step: int, accuracies: Mapping[str, float]) -> Selection:
        """Return the selection after a validation.

        Args:
            step: training steps finished.
            accuracies: accuracy of every task of the run.
        """
        overall = _better(self.overall, Best(step, fmean(accuracies.values())))
        tasks = {task: _better(self.tasks.get(task), Best(step, value)) for task, value in accuracies.items()}
        counts = set(accuracies) <= set(self.trained)
        waited = 0 if overall.step == step else self.waited + counts
        return Selection(overall, tasks, waited, self.trained)

    def folders(self) -> dict[str, Best]:
        """Best steps by the folder that keeps their weights: ``best`` by the mean, ``best-math`` by task."""
        overall = {"best": self.overall} if self.overall else {}
        return overall | {f"best-{task}": best for task, best in self.tasks.items()}

    def improved_at(self, step: int) -> bool:
        """True if any best result is of this step."""
        return any(best.step == step for best in self.folders().values())


def _better(before: Best | None, now: Best) -> Best:
    return now if before is None or now.accuracy > before.accuracy else before
