"""Settings of a task."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from omnithinker.config.base import Settings
from omnithinker.config.rewards import AnyRewardSettings, with_kinds


class TaskSettings(Settings):
    """One task: data, prompt, rewards and KL coefficient."""

    data: str | None = None
    """Generated data: ``lab:math``, ``lab:code``, ``lab:qa`` or ``lab:writing``, or ``reasoning_gym:NAME`` (extra
    ``reasoning-gym``); excludes ``train`` and ``test``."""
    data_settings: dict[str, Any] = Field({})
    """Settings of the generator of ``reasoning_gym:`` data, such as ``{ max_terms = 3 }`` for ``chain_sum``."""
    train: str | None = None
    """JSON Lines file of training rows, relative to the recipe."""
    test: str | None = None
    """JSON Lines file of held-out rows, relative to the recipe."""
    train_items: int | None = Field(None, ge=1, le=10**8)
    """Number of training rows to use or to generate; by default all rows of a file, or 256 generated ones."""
    prompt: str = "{prompt}"
    """Template of the user message; ``{field}`` is replaced by that field of the row."""
    system: str | None = None
    """System message; None for none."""
    beta: float = Field(0.0, ge=0)
    """beta_k of Eq. 4, the KL coefficient of this task; 0 needs no reference policy."""
    weight: float = Field(1.0, gt=0)
    """Factor of this task's loss; denominators are unchanged."""
    share: float = Field(1.0, gt=0)
    """Share of each step's prompts, relative to the other tasks; read by the schedules ``mixture`` and ``adaptive``."""
    clip_low: float | None = Field(None, gt=0, lt=1)
    """Override of ``training.clip_low`` for this task."""
    clip_high: float | None = Field(None, gt=0)
    """Override of ``training.clip_high`` for this task."""
    completions: int | None = Field(None, ge=2, le=65_536)
    """Override of ``sampling.completions`` for this task."""
    temperature: float | None = Field(None, gt=0)
    """Override of ``sampling.temperature`` for this task."""
    max_new_tokens: int | None = Field(None, ge=1)
    """Override of ``sampling.max_new_tokens`` for this task."""
    rewards: Annotated[dict[str, AnyRewardSettings], BeforeValidator(with_kinds)]
    """Reward components by name; a bare number is a weight."""

    @model_validator(mode="after")
    def _one_source(self) -> TaskSettings:
        if self.data is None and (self.train is None or self.test is None):
            raise ValueError("give either 'data' (such as \"lab:math\") or both 'train' and 'test'")
        if self.data is not None and (self.train is not None or self.test is not None):
            raise ValueError("'data' and 'train'/'test' exclude each other")
        if self.data_settings and not (self.data or "").startswith("reasoning_gym:"):
            raise ValueError("'data_settings' belongs to data = \"reasoning_gym:NAME\"; remove it")
        if not self.rewards:
            raise ValueError("has no reward; add one, such as rewards.math_answer = 1.0")
        return self
