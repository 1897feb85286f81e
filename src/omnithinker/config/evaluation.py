"""Settings of evaluation and validation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from omnithinker.config.base import Settings


class EvaluationSettings(Settings):
    """What is measured before, after and during training."""

    items: int = Field(200, ge=1)
    """Held-out items per task."""
    every: int = Field(0, ge=0)
    """Also evaluate during training, every this many steps; 0 for before and after only. In a study these
    measurements tell how early the order was settled."""
    validation_items: int = Field(0, ge=0)
    """Training rows per task that are taken out of training to choose checkpoints by. With them, ``every`` measures
    greedy accuracy on these, and the held-out items are looked at only before and after training."""
    patience: int = Field(0, ge=0)
    """Stop a run after this many validations in a row without a rise of the mean accuracy of its tasks; 0 for never.
    None counts before every task of the run has been trained."""
    result: Literal["last", "best"] = "last"
    """Which weights a run is measured with at the end: those of its last step, or the best by validation."""

    @model_validator(mode="after")
    def _validated(self) -> EvaluationSettings:
        if self.validation_items and not self.every:
            raise ValueError("'validation_items' needs 'every', the steps between validations")
        if not self.validation_items and (self.patience or self.result == "best"):
            raise ValueError("'patience' and 'result = \"best\"' need 'validation_items', to choose by")
        return self
