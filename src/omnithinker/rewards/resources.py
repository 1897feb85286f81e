"""Objects that the rewards of a recipe share, such as the sandbox and the judges."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from omnithinker.config.judges import RubricJudgeSettings
from omnithinker.config.recipe import Recipe
from omnithinker.io.closing import Closing
from omnithinker.judge.base import Judge
from omnithinker.judge.ledger import Ledger
from omnithinker.judge.rubric import RubricJudge
from omnithinker.rewards.base import Progress
from omnithinker.sandbox import Sandbox, open_sandbox

Resource = TypeVar("Resource")


class Resources(Closing):
    """Shared objects of a recipe's rewards, each opened on first use. Thread-safe.

    Args:
        recipe: Settings of the sandbox and the judges.

    Attributes:
        ledger: Calls, tokens and cost of the judges.
        progress: Training progress, for rewards that depend on it.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.ledger = Ledger()
        self.progress = Progress()
        self._opened: dict[str, Any] = {}
        self._lock = threading.Lock()

    def shared(self, key: str, open_resource: Callable[[], Resource]) -> Resource:
        """Return the object under a key, opening it on first use.

        Args:
            key: Identifies the object.
            open_resource: Creates it. If it has a method ``close``, that is called when the resources are closed.
        """
        with self._lock:
            if key not in self._opened:
                self._opened[key] = open_resource()
            return cast(Resource, self._opened[key])

    def sandbox(self) -> Sandbox:
        """Return the sandbox for model-written code."""
        return self.shared("sandbox", lambda: open_sandbox(self.recipe.sandbox))

    def judge(self, name: str) -> Judge:
        """Return a judge of the recipe by name."""
        return self.shared(f"judge {name}", lambda: self._open_judge(name))

    def sandbox_level(self) -> str | None:
        """Return confinement level and layers of the sandbox; None if it was not opened."""
        sandbox = self._opened.get("sandbox")
        return None if sandbox is None else f"{sandbox.level} ({', '.join(sandbox.layers)})"

    def close(self) -> None:
        """Close everything that was opened."""
        for resource in self._opened.values():
            if hasattr(resource, "close"):
                resource.close()
        self._opened.clear()

    def _open_judge(self, name: str) -> Judge:
        settings = self.recipe.judges[name]
        if isinstance(settings, RubricJudgeSettings):
            return RubricJudge()
        from omnithinker.judge.chat import ChatJudge

        return ChatJudge(settings, self.ledger.account(name, settings.model))
