"""The recipe: typed, frozen settings, read from TOML by :mod:`omnithinker.config.file`. Needs no torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from omnithinker.config.base import OPERATIONAL, Settings
from omnithinker.config.evaluation import EvaluationSettings
from omnithinker.config.judges import JudgeSettings, RubricJudgeSettings
from omnithinker.config.model import ModelSettings
from omnithinker.config.registry import nearest
from omnithinker.config.sampling import SamplingSettings
from omnithinker.config.sandbox import SandboxSettings
from omnithinker.config.schedules import ScheduleSettings
from omnithinker.config.study import StudySettings
from omnithinker.config.tasks import TaskSettings
from omnithinker.config.training import TrainingSettings
from omnithinker.config.warmup import WarmupSettings
from omnithinker.errors import BadInput, RecipeError

BASE = "base"
"""Name of the model before training, in studies and plans."""


class Recipe(Settings):
    """All settings of an experiment."""

    seed: int = Field(0, ge=0)
    """Seed of data order, samples and everything else that is random."""
    output: Annotated[str, OPERATIONAL] = Field("runs/{name}", validate_default=True, min_length=1)
    """Folder of results; ``{name}`` stands for the name of the recipe's file, or ``recipe`` without a file."""
    trackers: Annotated[tuple[Literal["tensorboard", "wandb", "trackio"], ...], OPERATIONAL] = ()
    """Trackers that receive metrics in addition to ``metrics.jsonl``; each needs the extra of the same name."""
    tracker_completions: Annotated[int, OPERATIONAL] = Field(4, ge=0)
    """Completions per task that trackers receive, with prompt and rewards, of every step in ``rollouts.jsonl``; 0 sends
    none."""
    model: ModelSettings = ModelSettings()
    """Base model and adapter."""
    sampling: SamplingSettings = SamplingSettings()
    """Generation of completions."""
    warmup: WarmupSettings | None = None
    """Supervised fine-tuning before reinforcement learning; by default none."""
    training: TrainingSettings = TrainingSettings()
    """Optimizer and GRPO loss."""
    schedules: ScheduleSettings = ScheduleSettings()
    """Settings of schedules, one group per schedule that has some."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """Evaluation and validation."""
    sandbox: SandboxSettings = SandboxSettings()
    """Confinement of model-written code."""
    judges: dict[str, JudgeSettings] = Field({"default": RubricJudgeSettings()})
    """Judges by name."""
    study: StudySettings = StudySettings()
    """Stages of a study."""
    tasks: dict[str, TaskSettings] = Field(min_length=1)
    """Tasks by name."""

    @field_validator("output")
    @classmethod
    def _without_a_file(cls, value: str) -> str:
        return value.replace("{name}", "recipe")

    @field_validator("trackers")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("has the same entry twice")
        return value

    @field_validator("tasks", "judges")
    @classmethod
    def _names(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Metrics are named after tasks, reward components and judges."""
        places: list[tuple[str, ...]] = [(name,) for name in value]
        if info.field_name == "tasks":
            places += [(task, "rewards", name) for task in value for name in value[task].rewards]
        problems = {place: problem for place in places if (problem := _name_problem(place, str(info.field_name)))}
        if problems:
            errors = [
                InitErrorDetails(
                    type=PydanticCustomError("name", "{problem}", {"problem": problem}), loc=place, input=""
                )
                for place, problem in problems.items()
            ]
            raise ValidationError.from_exception_data(cls.__name__, errors)
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
        if self.warmup and not any(task.demonstration for task in self.tasks.values()):
            raise ValueError("'warmup' needs a task with a 'demonstration', the template of a completion")
        for order in self.study.orders:
            if order not in ("best", "worst"):
                parse_order(order.replace(">", ","), list(self.tasks))
        return self

    def sampling_of(self, task: str) -> SamplingSettings:
        """Return the sampling settings of a task: ``sampling``, overridden by the task's own settings."""
        own = self.tasks[task].model_dump(include={"completions", "temperature", "max_new_tokens"}, exclude_none=True)
        return self.sampling.model_copy(update=own)

    def clip_of(self, task: str) -> tuple[float, float]:
        """Return the lower and upper clip of a task's policy ratio, Eq. 4."""
        own = self.tasks[task]
        low, high = own.clip_low, own.clip_high
        return self.training.clip_low if low is None else low, self.training.clip_high if high is None else high

    def digest(self) -> str:
        """Return the SHA-256 (hexadecimal) of all settings that change a run's numbers, see :data:`OPERATIONAL`."""
        return hashlib.sha256(json.dumps(self.essentials()).encode()).hexdigest()

    def to_toml(self) -> str:
        """Write every setting, defaults included, as TOML that loads to an equal recipe."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def _name_problem(place: tuple[str, ...], group: str) -> str | None:
    """Return what is wrong with the name of a task, a judge or, at a longer place, a reward component."""
    kind, name = ("reward" if len(place) > 1 else group.removesuffix("s")), place[-1]
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
        return f"{kind} name {name[:80]!r}: use letters, digits, - and _ (at most 64), starting with a letter"
    if kind == "task" and name == BASE:
        return f"{BASE!r} is the name of the model before training; rename the task"
    return None


def require_rewards(recipe: Recipe) -> None:
    """Check that every task has a reward, as everything but supervised fine-tuning needs.

    Raises:
        RecipeError: if one has none.
    """
    for name, task in recipe.tasks.items():
        if not task.rewards:
            raise RecipeError(
                f"tasks.{name}: has no reward, so it serves 'omnithinker sft' only; add one, such as "
                f"tasks.{name}.rewards.math_answer = 1.0"
            )


def known_task(recipe: Recipe, name: str) -> str:
    """Return a task's name after checking that the recipe has it.

    Raises:
        BadInput: if the recipe has no such task.
    """
    if name not in recipe.tasks:
        raise BadInput(f"no task {name!r} in the recipe; its tasks: {', '.join(recipe.tasks)}")
    return name


def parse_order(text: str, tasks: Sequence[str]) -> list[str]:
    """Parse ``code,math,qa`` as a permutation of ``tasks``.

    Raises:
        RecipeError: if a name is unknown, missing or repeated.
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
