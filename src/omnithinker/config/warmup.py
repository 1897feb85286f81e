"""Settings of supervised fine-tuning before reinforcement learning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from omnithinker.config.base import Settings


class WarmupSettings(Settings):
    """Supervised fine-tuning on demonstrations of the tasks' training rows; reinforcement learning starts from it."""

    learning_rate: float = Field(1e-5, gt=0)
    """Peak learning rate of AdamW."""
    epochs: int = Field(1, ge=1, le=100_000)
    """Passes over the demonstrations."""
    max_steps: int | None = Field(None, ge=1)
    """Largest number of updates; the schedule of the learning rate ends there."""
    batch_size: int = Field(16, ge=1, le=1_000_000)
    """Demonstrations per update. The loss is the mean over all their completion tokens."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after its warm-up: ``cosine`` falls to zero at the end, ``constant`` stays."""
    warmup_ratio: float = Field(0.1, ge=0, lt=1)
    """Share of the updates over which the learning rate rises linearly from zero."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of AdamW."""
    items: int | None = Field(None, ge=1)
    """Demonstrations per task, the first of its training rows; by default all."""
    validation_items: int = Field(0, ge=0)
    """Demonstrations per task that are held out to measure the validation loss; 0 for none."""
    validate_every: int = Field(10, ge=1)
    """Updates between measurements of the validation loss; the last update is measured too."""
