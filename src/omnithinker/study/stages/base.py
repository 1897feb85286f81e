"""Stage ``base``: evaluation of the base model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from omnithinker.config.recipe import Recipe
from omnithinker.io.files import remove_leftovers, write_json
from omnithinker.io.layout import JUDGES, completions_file
from omnithinker.io.lock import lock
from omnithinker.study.stage import Stage, starting_point

if TYPE_CHECKING:
    from omnithinker.train.context import RunContext
    from omnithinker.ui.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseStage(Stage):
    """Evaluate the base model on the held-out items of every task."""

    kind: ClassVar[str] = "base"

    @classmethod
    def of_study(cls, recipe: Recipe, earlier: Sequence[Stage]) -> Sequence[Stage]:
        """Return the one stage."""
        return [cls(name="base", needs=starting_point(recipe))]

    @property
    def label(self) -> str:
        """Name in the report."""
        return "base model"

    def run(self, context: RunContext, study: Path, view: View) -> None:
        """Evaluate and write the result."""
        from omnithinker.evals.completions import EvaluatedCompletions
        from omnithinker.train.manifest import manifest

        started = time.monotonic()
        view.note("evaluating the base model on held-out items")
        with lock(self.folder(study)), context.resources.ledger.of_run(self.folder(study) / JUDGES):
            remove_leftovers(self.folder(study))
            completions = EvaluatedCompletions()
            results = context.evaluate_base(completions)
            completions.save(completions_file(self.result(study)))
            record = manifest("base", context.recipe, context.resources, results, time.monotonic() - started)
            write_json(self.result(study), record)
