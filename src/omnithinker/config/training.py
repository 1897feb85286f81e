"""Settings of the loss and the optimizer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from omnithinker.config.base import OPERATIONAL, Settings


class TrainingSettings(Settings):
    """GRPO loss (Eq. 2-5) and optimizer (AdamW)."""

    learning_rate: float = Field(1e-6, gt=0)
    """Learning rate of AdamW, constant after the warm-up."""
    warmup_steps: int = Field(0, ge=0)
    """Optimizer updates over which the learning rate rises linearly from zero."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Global norm to which larger gradients are scaled down."""
    prompts_per_step: int = Field(16, ge=1, le=1_000_000)
    """Prompts per step, P. A step samples P x G completions."""
    minibatches: int = Field(1, ge=1)
    """Optimizer updates per step, each on its share of the completions (paper, Table 5: 6). The old
    log-probabilities stay fixed."""
    epochs: int = Field(1, ge=1, le=100_000)
    """Passes over each task's prompts."""
    max_steps: int | None = Field(None, ge=1)
    """Largest number of steps of a run; by default the schedule decides. A curriculum keeps all its tasks, each with
    its share of the steps and at least one; other schedules stop after this step."""
    preset: Literal["paper", "dapo", "dr_grpo"] = "paper"
    """Defaults of the loss: ``paper`` (Eq. 2-5), ``dapo`` (mean over tokens, ``clip_high`` 0.28) or ``dr_grpo`` (no
    standard deviation, mean over ``max_new_tokens``). Settings in the recipe override them."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    """Clip range of the policy ratio below 1, epsilon in Eq. 4."""
    clip_high: float = Field(0.2, gt=0)
    """Clip range of the policy ratio above 1."""
    scale_advantages: bool = True
    """Divide advantages by the standard deviation of the group's rewards (Eq. 3)."""
    loss_norm: Literal["sequence", "token", "max_tokens"] = "sequence"
    """Normalization of the loss: ``sequence`` averages over a completion's tokens and then over completions (Eq. 4),
    ``token`` averages over all tokens, ``max_tokens`` divides each completion's sum by ``max_new_tokens``."""
    kl: Literal["k1", "k2", "k3"] = "k3"
    """Estimator of the KL divergence from the reference policy (Eq. 5: ``k3``)."""
    importance_sampling_correction: Literal["off", "token", "sequence"] = "off"
    """Correction for a generator whose log-probabilities differ from the trainer's: weights each token, or each
    completion, by the ratio of trainer to generator probability. For generators in another number format or program."""
    importance_sampling_cap: float = Field(3.0, gt=0)
    """Largest ratio of the importance sampling correction."""
    importance_sampling_mode: Literal["truncate", "mask"] = "truncate"
    """Treatment of larger ratios: ``truncate`` lowers them to the cap, ``mask`` excludes their tokens from the policy
    term."""
    truncated: Literal["keep", "mask"] = "keep"
    """Treatment of completions that reached the token limit: ``keep`` trains on them, ``mask`` does not."""
    microbatch_tokens: Annotated[int, OPERATIONAL] = Field(8192, ge=1)
    """Most tokens, including padding, in one forward and backward pass. Determines memory and changes results by
    rounding only, so it may be lowered when a run is resumed."""
    max_undefined: Annotated[float, OPERATIONAL] = Field(0.05, ge=0, le=1)
    """Largest share of a task's completions, over 50 steps, for which a reward may be undefined. Above it the run
    stops."""
    checkpoint_minutes: Annotated[float, OPERATIONAL] = Field(10.0, ge=0)
    """Minutes between checkpoints; 0 for none by time. A killed run repeats what came since the last one. The end of a
    run, a stop and the best validation are saved in any case."""
    checkpoint_every: Annotated[int, OPERATIONAL] = Field(0, ge=0)
    """Steps between checkpoints, in addition to those by time; 0 for none by steps."""
    keep: Annotated[int, OPERATIONAL] = Field(2, ge=1)
    """Checkpoints kept on disk."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("preset", "paper"), str):
            return value
        return PRESETS.get(value.get("preset", "paper"), {}) | value


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "dapo": {"loss_norm": "token", "clip_high": 0.28},
    "dr_grpo": {"loss_norm": "max_tokens", "scale_advantages": False},
}
"""Defaults that each preset of the loss sets."""
