"""Stage ``warmup``: supervised fine-tuning that all other stages start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from omnithinker.config.recipe import Recipe
from omnithinker.io.layout import WARMUP
from omnithinker.study.stage import Stage

if TYPE_CHECKING:
    from omnithinker.train.context import RunContext
    from omnithinker.ui.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupStage(Stage):
    """Fine-tune the base model on demonstrations."""

    kind: ClassVar[str] = "warmup"
    evaluates: ClassVar[bool] = False

    @classmethod
    def of_study(cls, recipe: Recipe, earlier: Sequence[Stage]) -> Sequence[Stage]:
        """Return the one stage, if the recipe has a warm-up."""
        return [cls(name=WARMUP)] if recipe.warmup else []

    @property
    def label(self) -> str:
        """Name in the report."""
        return "warm-up"

    def work(self, context: RunContext) -> tuple[int, int]:
        """Return demonstrations over all epochs, and updates."""
        from omnithinker.train.sft.run import planned_schedule

        batches = planned_schedule(context).batches
        return sum(map(len, batches)), len(batches)

    def run(self, context: RunContext, study: Path, view: View) -> None:
        """Train and write the model."""
        from omnithinker.train.sft.run import run_warmup

        run_warmup(context, self.folder(study), view)
