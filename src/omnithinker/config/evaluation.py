"""Settings of evaluation and validation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from omnithinker.config.base import Settings


class EvaluationSettings(Settings):
    """Measurements before, after and during training."""

    items: int = Field(200, ge=1)
    """Held-out items per task."""
    every: int = Field(0, ge=0)
    """Steps between evaluations during training; 0 evaluates before and after training only. A study uses them to
    estimate how early the order could have been decided."""
    validation_items: int = Field(0, ge=0)
    """Training rows per task that are held back to select checkpoints; 0 for none. Evaluations during training then
    measure greedy accuracy on these rows, and the held-out items are used only before and after training."""
    patience: int = Field(0, ge=0)
    """Consecutive validations without an improvement of the mean accuracy after which a run stops; 0 for never.
    The count starts once every task of the run has been trained."""
    result: Literal["last", "best"] = "last"
    """Weights that a run is evaluated with at its end: those of the last step, or the best by validation."""

    @model_validator(mode="after")
    def _validated(self) -> EvaluationSettings:
        if self.validation_items and not self.every:
            raise ValueError("'validation_items' needs 'every', the number of steps between validations")
        if not self.validation_items and (self.patience or self.result == "best"):
            raise ValueError("'patience' and 'result = \"best\"' need 'validation_items'")
        return self
