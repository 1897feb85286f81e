"""Settings of a task and its rewards."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from omnithinker.config.base import OPERATIONAL, Settings


class RewardSettings(Settings):
    """One reward component of a task."""

    weight: float = Field(1.0, ge=0, le=1)
    """w_r of A.1, used as written."""
    kind: str | None = None
    """Mechanism; by default the component's name. ``python:package.module:function``, or
    ``python:file.py:function`` with the file relative to the recipe, names your own."""
    primary: bool | None = None
    """Whether it decides correctness; by default yes, except for ``format`` and ``tags``."""
    judge: str = "default"
    """For ``pairwise_judge``: which of the recipe's judges."""
    order: Literal["random", "both", "fixed"] = "random"
    """For ``pairwise_judge``: which text is shown first."""
    deadline_s: Annotated[float | None, OPERATIONAL] = Field(None, gt=0)
    """Seconds that it may take for one prompt's completions; after that it is undefined for them, with cause
    ``deadline``. By default 300 for your own functions, and 3600 for the others, which keep deadlines for every answer,
    program or judgment."""
    on_error: Literal["stop", "undefined"] = "stop"
    """What an error of the reward's mechanism does (it raised, or returned no numbers): ends the run, or leaves the
    component undefined for the completions concerned."""
    chat: bool | None = None
    """For functions with TRL's signature: whether they read lists of messages instead of texts; by default as TRL, when
    the row's ``prompt`` is a list of messages."""

    @model_validator(mode="before")
    @classmethod
    def _weight_alone(cls, value: Any) -> Any:
        return {"weight": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class TaskSettings(Settings):
    """One task: data, prompt, rewards and KL coefficient."""

    data: str | None = None
    """``lab:math`` (or code, qa, writing) for built-in data; otherwise give ``train`` and ``test``."""
    train: str | None = None
    """JSON-lines file of training rows, relative to the recipe."""
    test: str | None = None
    """JSON-lines file of held-out rows, relative to the recipe."""
    train_items: int | None = Field(None, ge=1)
    """Use only this many training rows; for ``lab:`` data, how many to generate."""
    prompt: str = "{prompt}"
    """Template of the user message; ``{field}`` stands for a field of the row."""
    system: str | None = None
    """System message, for models that have one."""
    beta: float = Field(0.0, ge=0)
    """beta_k of Eq. 4, the KL coefficient of this task; 0 needs no reference policy."""
    weight: float = Field(1.0, gt=0)
    """Factor of this task's part of the loss; denominators are unchanged."""
    share: float = Field(1.0, gt=0)
    """This task's share of every step's prompts relative to the other tasks', for the schedules ``mixture`` and
    ``adaptive``."""
    clip_low: float | None = Field(None, gt=0, lt=1)
    """This task's ``training.clip_low``."""
    clip_high: float | None = Field(None, gt=0)
    """This task's ``training.clip_high``."""
    completions: int | None = Field(None, ge=2)
    """This task's ``sampling.completions``."""
    temperature: float | None = Field(None, gt=0)
    """This task's ``sampling.temperature``."""
    max_new_tokens: int | None = Field(None, ge=1)
    """This task's ``sampling.max_new_tokens``."""
    rewards: dict[str, RewardSettings]
    """Components by name."""

    @model_validator(mode="after")
    def _one_source(self) -> TaskSettings:
        if self.data is None and (self.train is None or self.test is None):
            raise ValueError("give either 'data' (such as \"lab:math\") or both 'train' and 'test'")
        if self.data is not None and (self.train is not None or self.test is not None):
            raise ValueError("'data' and 'train'/'test' exclude each other")
        if not self.rewards:
            raise ValueError("has no reward; add one, such as rewards.math_answer = 1.0")
        return self
