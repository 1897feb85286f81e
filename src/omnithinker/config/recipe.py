"""What a recipe says: typed, frozen settings. Needs no torch. Read from TOML by :mod:`omnithinker.config.file`."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import tomli_w
from pydantic import Field, field_validator, model_validator

from omnithinker.config.adaptive import AdaptiveSettings
from omnithinker.config.base import OPERATIONAL, Settings
from omnithinker.config.evaluation import EvaluationSettings
from omnithinker.config.judges import JudgeSettings, RubricJudgeSettings
from omnithinker.config.model import ModelSettings
from omnithinker.config.sampling import SamplingSettings
from omnithinker.config.sandbox import SandboxSettings
from omnithinker.config.study import StudySettings
from omnithinker.config.tasks import TaskSettings
from omnithinker.config.training import TrainingSettings
from omnithinker.errors import RecipeError


class Recipe(Settings):
    """A whole experiment."""

    seed: int = Field(0, ge=0)
    """Fixes data order, samples and everything else that is random."""
    output: Annotated[str, OPERATIONAL] = "runs/{name}"
    """Folder for results; ``{name}`` is the recipe file's name."""
    trackers: Annotated[tuple[Literal["tensorboard", "wandb", "trackio"], ...], OPERATIONAL] = ()
    """Where metrics are shown beside ``metrics.jsonl``; each is a package and an extra of the same name."""
    model: ModelSettings = ModelSettings()
    sampling: SamplingSettings = SamplingSettings()
    training: TrainingSettings = TrainingSettings()
    adaptive: AdaptiveSettings = AdaptiveSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    sandbox: SandboxSettings = SandboxSettings()
    judges: dict[str, JudgeSettings] = Field({"default": RubricJudgeSettings()})
    study: StudySettings = StudySettings()
    tasks: dict[str, TaskSettings] = Field(min_length=1)

    @field_validator("trackers")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("has the same entry twice")
        return value

    @field_validator("tasks")
    @classmethod
    def _names(cls, value: dict[str, TaskSettings]) -> dict[str, TaskSettings]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
                raise ValueError(f"task name {name!r}: use letters, digits, - and _, a letter first")
        return value

    @model_validator(mode="after")
    def _references(self) -> Recipe:
        for name, task in self.tasks.items():
            for component, reward in task.rewards.items():
                for judge in reward.judges:
                    if judge not in self.judges:
                        raise ValueError(
                            f"tasks.{name}.rewards.{component}: no judge named {judge!r}; "
                            f"known: {', '.join(self.judges)}"
                        )
        for order in self.study.orders:
            if order not in ("best", "worst"):
                parse_order(order.replace(">", ","), list(self.tasks))
        return self

    def sampling_of(self, task: str) -> SamplingSettings:
        """How completions of a task are drawn: ``sampling`` with the task's own settings in their place."""
        own = self.tasks[task].model_dump(include={"completions", "temperature", "max_new_tokens"}, exclude_none=True)
        return self.sampling.model_copy(update=own)

    def clip_of(self, task: str) -> tuple[float, float]:
        """Lower and upper clip of a task's policy ratio, Eq. 4."""
        own = self.tasks[task]
        low, high = own.clip_low, own.clip_high
        return self.training.clip_low if low is None else low, self.training.clip_high if high is None else high

    def digest(self) -> str:
        """SHA-256, hexadecimal, over all settings that decide a run's numbers (see :data:`OPERATIONAL`)."""
        return hashlib.sha256(json.dumps(self.essentials()).encode()).hexdigest()

    def to_toml(self) -> str:
        """Every setting, defaults included, as TOML that loads to an equal recipe."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def parse_order(text: str, tasks: Sequence[str]) -> list[str]:
    """Turn ``code,math,qa`` into a permutation of ``tasks``.

    Raises:
        RecipeError: a name is unknown, missing or given twice.
    """
    order = [name.strip() for name in text.split(",") if name.strip()]
    for name in order:
        if name not in tasks:
            raise RecipeError(f"order {text!r}: no task {name!r}{nearest(name, tasks)}")
    missing = [name for name in tasks if name not in order]
    if missing or len(order) != len(tasks):
        problem = f"lacks {', '.join(missing)}" if missing else "names a task twice"
        raise RecipeError(f"order {text!r} {problem}; every task must occur exactly once")
    return order


def nearest(name: str, known: Iterable[str]) -> str:
    """End of a message: the known name that is most like ``name``, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
