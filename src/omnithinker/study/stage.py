"""Protocol of a study's stages. Needs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from omnithinker.config.recipe import Recipe
from omnithinker.io.layout import RESULT, WARMUP, stage_folder
from omnithinker.schedules.plan import RunPlan

if TYPE_CHECKING:
    from omnithinker.train.context import RunContext
    from omnithinker.ui.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(ABC):
    """One stage of a study. Its result is a file; a stage with a result does not run again."""

    kind: ClassVar[str]
    """Registered name of the class."""
    evaluates: ClassVar[bool] = True
    """True if the stage evaluates a model: it has a folder of its own, with ``result.json``, which it locks."""
    repeats: ClassVar[bool] = False
    """True if the stage runs every time, with whatever results exist."""

    name: str
    """Name for ``--stage``, such as ``single:math``; ends in ``#seed`` in a study with several seeds."""
    subject: str = ""
    """Parameter of the stage, such as its task, order or schedule; empty if it has none."""
    seed: int | None = None
    """Study seed of a training stage."""
    needs: tuple[str, ...] = ()
    """Names of the stages whose results it reads."""

    @classmethod
    @abstractmethod
    def of_study(cls, recipe: Recipe, earlier: Sequence[Stage]) -> Sequence[Stage]:
        """Return the stages of this kind in a recipe's study.

        Args:
            recipe: all settings.
            earlier: stages of the kinds registered before this one.
        """

    @property
    @abstractmethod
    def label(self) -> str:
        """Name in the report, without seed."""

    @abstractmethod
    def run(self, context: RunContext, study: Path, view: View) -> None:
        """Run the stage and write its result.

        Args:
            context: the recipe and the objects that its runs share.
            study: folder of the study.
            view: shows progress.
        """

    def run_plan(self, recipe: Recipe, study: Path | None = None) -> RunPlan | None:
        """Return the training run of the stage; None if it trains nothing.

        Args:
            recipe: all settings.
            study: folder with the plan that decides an order such as ``best``. Without it the recipe's task order
                stands in, which costs the same.
        """
        return None

    def work(self, context: RunContext) -> tuple[int, int]:
        """Return training prompts and steps of a stage that trains without a run plan."""
        return 0, 0

    def folder(self, study: Path) -> Path:
        """Return the folder of its results."""
        return study / stage_folder(self.name)

    def result(self, study: Path) -> Path:
        """Return the file that exists exactly if the stage is done."""
        return self.folder(study) / RESULT


def starting_point(recipe: Recipe) -> tuple[str, ...]:
    """Return the name of the stage whose model is evaluated and trained, none for the recipe's base model."""
    return (WARMUP,) if recipe.warmup else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStage(Stage):
    """A stage that trains and evaluates one policy; repeated for every study seed."""

    seed: int = 0

    @classmethod
    def per_seed(cls, recipe: Recipe, name: str, subject: str, needs: tuple[str, ...] = ()) -> list[Self]:
        """Return the stage once per study seed."""
        seeds, needs = recipe.study.seeds, (*starting_point(recipe), *needs)
        return [
            cls(name=f"{name}#{seed}" if len(seeds) > 1 else name, subject=subject, seed=seed, needs=needs)
            for seed in seeds
        ]

    @abstractmethod
    def run_plan(self, recipe: Recipe, study: Path | None = None) -> RunPlan:
        """Return the training run of the stage; see :meth:`Stage.run_plan`."""

    def run(self, context: RunContext, study: Path, view: View) -> None:
        """Train, evaluate and write the result."""
        from omnithinker.train.run import run_training

        run_training(context, self.run_plan(context.recipe, study), self.folder(study), view)
