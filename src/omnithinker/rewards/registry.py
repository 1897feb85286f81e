"""From a recipe's reward blocks to objects, and what they share."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omnithinker.config.judges import RubricJudgeSettings
from omnithinker.config.recipe import Recipe
from omnithinker.config.tasks import RewardSettings
from omnithinker.errors import DataError, RecipeError
from omnithinker.judge.base import Judge
from omnithinker.judge.ledger import Ledger
from omnithinker.judge.rubric import RubricJudge
from omnithinker.rewards.base import Component, Progress, Reward
from omnithinker.rewards.external import load_external
from omnithinker.rewards.format_tags import Format, Tags
from omnithinker.rewards.math_answer import MathAnswer
from omnithinker.rewards.math_pool import MathPool
from omnithinker.rewards.pairwise_judge import PairwiseJudge
from omnithinker.rewards.short_answer import ShortAnswer
from omnithinker.rewards.unit_tests import UnitTests
from omnithinker.sandbox import Sandbox, open_sandbox, parse_tests

AUXILIARY = ("format", "tags")
"""Components that do not decide correctness unless the recipe says so."""
OWN_FUNCTION_S = 300.0
"""Deadline of a user's function for one group, where the recipe names none; the settings' docstring says so too."""
BUILT_IN_S = 3600.0
"""Deadline of our own mechanisms, which keep deadlines for every answer, program or judgment."""
KINDS = ("math_answer", "unit_tests", "short_answer", "pairwise_judge", "format", "tags")


@dataclass
class Resources:
    """What rewards share and someone must close: sandbox, verifier processes, judges. Opened when first needed."""

    recipe: Recipe
    ledger: Ledger = field(default_factory=Ledger)
    """What the judges did and what it cost."""
    progress: Progress = field(default_factory=Progress)
    """Where the run stands, for rewards that depend on it."""
    _open: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sandbox(self) -> Sandbox:
        """The sandbox for model-written code."""
        sandbox: Sandbox = self._get("sandbox", lambda: open_sandbox(self.recipe.sandbox))
        return sandbox

    def math_pool(self) -> MathPool:
        """The verifier processes of ``math_answer``."""
        pool: MathPool = self._get("math", MathPool)
        return pool

    def judge(self, name: str) -> Judge:
        """A judge of the recipe by name."""
        judge: Judge = self._get(f"judge {name}", lambda: self._make_judge(name))
        return judge

    def sandbox_level(self) -> str | None:
        """Confinement level of the sandbox if one was opened, for the record."""
        sandbox = self._open.get("sandbox")
        return None if sandbox is None else f"{sandbox.level} ({', '.join(sandbox.layers)})"

    def close(self) -> None:
        """Close everything that was opened."""
        for thing in self._open.values():
            if hasattr(thing, "close"):
                thing.close()
        self._open.clear()

    def __enter__(self) -> Resources:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get(self, key: str, make: Any) -> Any:
        with self._lock:
            if key not in self._open:
                self._open[key] = make()
            return self._open[key]

    def _make_judge(self, name: str) -> Judge:
        settings = self.recipe.judges[name]
        if isinstance(settings, RubricJudgeSettings):
            return RubricJudge()
        from omnithinker.judge.chat import ChatJudge

        return ChatJudge(settings, self.ledger.account(name, settings.model))


def build_components(task: str, rewards: Mapping[str, RewardSettings], resources: Resources) -> tuple[Component, ...]:
    """The reward components of a task.

    Raises:
        RecipeError: a kind is unknown, or no component is primary.
    """
    components = tuple(build_component(task, name, settings, resources) for name, settings in rewards.items())
    if not any(component.primary for component in components):
        raise RecipeError(f"tasks.{task}.rewards: none decides correctness; add one, or set primary = true on one")
    return components


def build_component(task: str, name: str, settings: RewardSettings, resources: Resources) -> Component:
    """One reward component of a task.

    Raises:
        RecipeError: its kind is unknown.
    """
    kind = settings.kind or name
    primary = kind not in AUXILIARY if settings.primary is None else settings.primary
    reward = _build(f"tasks.{task}.rewards.{name}", kind, settings, resources)
    own = kind.startswith("python:")
    return Component(
        name,
        reward,
        settings.weight,
        primary,
        deadline_s=settings.deadline_s or (OWN_FUNCTION_S if own else BUILT_IN_S),
        on_error=settings.on_error,
        threads=1 if own else None,  # functions written for other trainers expect to be called by one
    )


def _build(place: str, kind: str, settings: RewardSettings, resources: Resources) -> Reward:
    if kind.startswith("python:"):
        path = kind.removeprefix("python:")
        return load_external(path, place, chat=settings.chat, progress=resources.progress)
    match kind:
        case "math_answer":
            return MathAnswer(resources.math_pool())
        case "unit_tests":
            return UnitTests(resources.sandbox())
        case "short_answer":
            return ShortAnswer()
        case "pairwise_judge":
            return PairwiseJudge(resources.judge(settings.judge), settings.order)
        case "format":
            return Format()
        case "tags":
            return Tags()
    raise RecipeError(f"{place}: no reward of kind {kind!r}; known: {', '.join(KINDS)}, python:module:function")


def check_row(rewards: Mapping[str, RewardSettings], row: Mapping[str, Any], place: str) -> None:
    """Check before any training that a row has what its rewards will read.

    Raises:
        DataError: naming place and field.
    """
    for name, settings in rewards.items():
        match settings.kind or name:
            case "math_answer":
                _require(row, ("answer",), (str, int, float), place)
            case "short_answer":
                _require(row, ("answer", "answers"), (str, int, float, list), place)
            case "pairwise_judge":
                _require(row, ("reference",), (str,), place)
            case "unit_tests":
                field_name = _require(row, ("tests",), (str, dict, list), place)
                try:
                    parse_tests(row[field_name])
                except DataError as error:
                    raise DataError(f"{place}: field 'tests': {error}") from error


def _require(row: Mapping[str, Any], fields: tuple[str, ...], kinds: tuple[type, ...], place: str) -> str:
    for name in fields:
        if name in row:
            if not isinstance(row[name], kinds) or isinstance(row[name], bool):
                words = {"str": "text", "list": "a list", "dict": "an object"}
                wanted = " or ".join(dict.fromkeys(words.get(kind.__name__, "a number") for kind in kinds))
                raise DataError(f"{place}: field {name!r} should be {wanted}, got {type(row[name]).__name__}")
            return name
    known = ", ".join(map(str, row)) or "none"
    raise DataError(f"{place}: no field {' or '.join(map(repr, fields))} (fields: {known})")
