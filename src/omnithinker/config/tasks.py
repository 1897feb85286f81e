"""Settings of a task."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from omnithinker.config.base import Settings
from omnithinker.config.registry import FORMATS, nearest
from omnithinker.config.rewards import AnyRewardSettings, with_kinds

RENDERING = frozenset(
    (
        "conversation",
        "messages",
        "add_generation_prompt",
        "tokenize",
        "return_dict",
        "return_tensors",
        "continue_final_message",
    )
)
"""Arguments of the chat template that the program sets itself."""


class TaskSettings(Settings):
    """One task: data, prompt, rewards and KL coefficient."""

    data: str | None = None
    """Generated data: ``lab:math``, ``lab:code``, ``lab:qa`` or ``lab:writing``, or ``reasoning_gym:NAME`` (extra
    ``reasoning-gym``). Or both splits of a data set on the hub, ``hub:OWNER/NAME``. Excludes ``train`` and ``test``."""
    data_settings: dict[str, Any] = Field({})
    """Settings of the generator of ``reasoning_gym:`` data, such as ``{ max_terms = 3 }`` for ``chain_sum``."""
    train: str | None = None
    """File of training rows, relative to the recipe: JSON Lines, JSON, CSV or Parquet (extra ``parquet``), possibly
    ending in ``.gz``. Or a data set on the hub (extra ``datasets``), ``hub:OWNER/NAME?config=C&split=S&revision=R``,
    where all after the name is optional."""
    test: str | None = None
    """File of held-out rows, or a data set on the hub, like ``train``."""
    test_items: int | None = Field(None, ge=1, le=10**8)
    """Number of rows of ``train`` to hold out, if there is no ``test``. The sample is the same for every ``seed``."""
    train_items: int | None = Field(None, ge=1, le=10**8)
    """Number of training rows to use or to generate; by default all rows of a file, or 256 generated ones."""
    format: str | None = None
    """Shape of the rows as they are: ``trl``, ``verl``, ``sharegpt``, ``gsm8k`` and others, see
    [Row formats](../tasks.md#row-formats). By default rows have the fields that the prompt and the rewards read."""
    columns: dict[str, str] = Field({})
    """Further fields by name: the path of the value in the row, after ``format``, such as
    ``{ answer = "reward_model.ground_truth" }``."""
    prompt: str = "{prompt}"
    """Template of the user message; ``{field}`` is replaced by that field of the row, ``{field.inner}`` and
    ``{field.0}`` by a nested value. Where a field is a list of messages, the template fills the last one. By default
    ``{prompt}``, or what ``format`` needs; a row without ``prompt`` is asked its ``messages``."""
    system: str | None = None
    """System message. It replaces the system message of rows that have one; an empty text removes that. None keeps
    it."""
    chat_template_kwargs: dict[str, Any] = Field({})
    """Variables of the model's chat template, such as ``{ enable_thinking = false }``."""
    demonstration: str | None = Field(None, min_length=1)
    """Template of the completion that supervised fine-tuning (``warmup``) teaches for a training row, with ``{field}``
    placeholders like ``prompt``; a task without one takes no part in it."""
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
    rewards: Annotated[dict[str, AnyRewardSettings], BeforeValidator(with_kinds)] = Field({})
    """Reward components by name; a bare number is a weight. Only ``omnithinker sft`` accepts a task without rewards,
    and that task needs a ``demonstration``."""

    @model_validator(mode="before")
    @classmethod
    def _prompt_of_format(cls, values: Any) -> Any:
        if isinstance(values, dict) and "prompt" not in values and values.get("format") in FORMATS:
            return values | {"prompt": FORMATS.load(values["format"]).prompt}
        return values

    @field_validator("format")
    @classmethod
    def _known_format(cls, name: str | None) -> str | None:
        if name is not None and name not in FORMATS:
            raise ValueError(f"no format {name!r}{nearest(name, FORMATS)}")
        return name

    @field_validator("chat_template_kwargs")
    @classmethod
    def _variables(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(RENDERING & set(value)):
            raise ValueError(f"{taken[0]!r} is set by the program; remove it")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> TaskSettings:
        if self.data is None and (self.train is None or (self.test is None and self.test_items is None)):
            raise ValueError(
                "give either 'data' (such as \"lab:math\") or both 'train' and 'test'; 'test_items' may replace 'test'"
            )
        if self.data is not None and (self.train is not None or self.test is not None):
            raise ValueError("'data' and 'train'/'test' exclude each other")
        if self.test_items is not None and (self.data is not None or self.test is not None):
            raise ValueError("'test_items' belongs to 'train' without 'test'; remove it")
        if self.data_settings and not (self.data or "").startswith("reasoning_gym:"):
            raise ValueError("'data_settings' belongs to data = \"reasoning_gym:NAME\"; remove it")
        if not self.rewards and self.demonstration is None:
            raise ValueError(
                "has no reward; add one, such as rewards.math_answer = 1.0, or a 'demonstration' for supervised "
                "fine-tuning alone"
            )
        return self
