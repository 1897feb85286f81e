"""Stops a run whose rewards fail too often: a policy must not be trained on what is left."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from omnithinker.errors import RewardError

WINDOW = 50
"""Steps of a task over which failures are counted."""


class UndefinedLimit:
    """Counts undefined reward components per task.

    Args:
        limit: largest share of completions for which a component may be undefined, over :data:`WINDOW` steps of its
            task. The run stops as soon as that many have failed, be the window full or not.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._steps: dict[str, deque[tuple[int, Counter[str]]]] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in the metrics of one step.

        Raises:
            RewardError: a component passed the limit; names task, component and causes.
        """
        for key, completions in record.items():
            if not (key.startswith("task/") and key.endswith("/completions")):
                continue
            task = key.split("/")[1]
            prefix = f"task/{task}/undefined/"
            causes = Counter({k.removeprefix(prefix): v for k, v in record.items() if k.startswith(prefix)})
            window = self._steps.setdefault(task, deque(maxlen=WINDOW))
            window.append((completions, causes))
            self._check(task, window)

    def _check(self, task: str, window: deque[tuple[int, Counter[str]]]) -> None:
        total: Counter[str] = Counter()
        for _, causes in window:
            total.update(causes)
        allowed = self.limit * WINDOW * sum(completions for completions, _ in window) / len(window)
        for component in {name.split("/")[0] for name in total}:
            failed = {name.split("/", 1)[1]: n for name, n in total.items() if name.split("/")[0] == component}
            if sum(failed.values()) > allowed:
                listed = ", ".join(f"{cause} {n}" for cause, n in sorted(failed.items()))
                raise RewardError(
                    f"reward {component!r} of task {task!r} was undefined for {sum(failed.values())} completions in "
                    f"{len(window)} steps ({listed}), more than training.max_undefined = {self.limit} allows over "
                    f"{WINDOW} steps; mend it, or raise the limit"
                )
