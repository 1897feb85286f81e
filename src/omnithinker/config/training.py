"""Settings of the loss and the optimizer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from omnithinker.config.base import OPERATIONAL, Settings


class TrainingSettings(Settings):
    """The optimizer and the GRPO loss (Eq. 2-5)."""

    learning_rate: float = Field(1e-6, gt=0)
    """AdamW, constant after the warm-up."""
    warmup_steps: int = Field(0, ge=0)
    """Optimizer updates over which the learning rate rises linearly from zero."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are scaled down to this global norm."""
    prompts_per_step: int = Field(16, ge=1)
    """P, prompts in a step; a step draws P x G completions."""
    minibatches: int = Field(1, ge=1)
    """Updates per rollout batch against fixed old log-probabilities (paper's Table 5: 6)."""
    epochs: int = Field(1, ge=1)
    """Passes over each task's prompts."""
    max_steps: int | None = Field(None, ge=1)
    """Stop after this many rollout batches; by default the schedule decides."""
    preset: Literal["paper", "dapo", "dr_grpo"] = "paper"
    """Sets the defaults of the settings below it: ``paper`` (Eq. 2-5), ``dapo`` (token mean, clip-higher 0.28),
    ``dr_grpo`` (no std, constant length)."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    """Lower clip of the policy ratio, epsilon in Eq. 4."""
    clip_high: float = Field(0.2, gt=0)
    """Upper clip of the policy ratio."""
    scale_advantages: bool = True
    """Divide advantages by the group's standard deviation (Eq. 3)."""
    loss_norm: Literal["sequence", "token", "max_tokens"] = "sequence"
    """How token losses are averaged: per completion then over completions (Eq. 4), over all tokens, or over
    ``max_new_tokens`` per completion."""
    kl: Literal["k1", "k2", "k3"] = "k3"
    """Estimator of the KL term (k3: Eq. 5)."""
    importance_sampling_correction: Literal["off", "token", "sequence"] = "off"
    """Correct for a generator whose log-probabilities differ from the trainer's: weigh each token, or each completion
    as a whole, by the ratio of the two. For generators in other number formats or other programs."""
    importance_sampling_cap: float = Field(3.0, gt=0)
    """Largest such ratio that is believed."""
    importance_sampling_mode: Literal["truncate", "mask"] = "truncate"
    """What becomes of a larger one: it counts as the cap, or its tokens leave the policy term."""
    truncated: Literal["keep", "mask"] = "keep"
    """Whether completions that reached the token limit are trained on."""
    microbatch_tokens: Annotated[int, OPERATIONAL] = Field(8192, ge=1)
    """Most tokens (padding included) in one forward and backward pass; changes memory, and the result only by rounding.
    May be lowered when a run that has come far runs out of memory."""
    max_undefined: Annotated[float, OPERATIONAL] = Field(0.05, ge=0, le=1)
    """The run stops when a reward component is undefined for a larger share of a task's completions than this,
    over 50 steps."""
    checkpoint_every: Annotated[int, OPERATIONAL] = Field(1, ge=1)
    """Steps between checkpoints. A killed run loses what came after the last; raise it for large models."""
    keep: Annotated[int, OPERATIONAL] = Field(2, ge=1)
    """How many checkpoints stay on disk."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        return PRESETS.get(value.get("preset", "paper"), {}) | value if isinstance(value, dict) else value


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "dapo": {"loss_norm": "token", "clip_high": 0.28},
    "dr_grpo": {"loss_norm": "max_tokens", "scale_advantages": False},
}
"""What each loss preset sets; a recipe may still override single settings."""
