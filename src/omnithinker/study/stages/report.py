"""Stage ``report``: the HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from omnithinker.config.recipe import Recipe
from omnithinker.io.layout import REPORT
from omnithinker.study.stage import Stage

if TYPE_CHECKING:
    from omnithinker.train.context import RunContext
    from omnithinker.ui.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportStage(Stage):
    """Write the report of all results so far."""

    kind: ClassVar[str] = "report"
    evaluates: ClassVar[bool] = False
    repeats: ClassVar[bool] = True

    @classmethod
    def of_study(cls, recipe: Recipe, earlier: Sequence[Stage]) -> Sequence[Stage]:
        """Return the one stage."""
        return [cls(name="report", needs=tuple(stage.name for stage in earlier))]

    @property
    def label(self) -> str:
        """Name in the report."""
        return "report"

    def result(self, study: Path) -> Path:
        """Return the report file."""
        return study / REPORT

    def run(self, context: RunContext, study: Path, view: View) -> None:
        """Write the report."""
        from omnithinker.report import write_report

        view.note("writing the report")
        write_report(study)
