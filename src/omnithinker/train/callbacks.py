"""Callbacks around the steps of a trainer: log, evaluation, checkpoints, progress, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from omnithinker.errors import OmniThinkerError, TrainingError
from omnithinker.io.layout import CHECKPOINTS
from omnithinker.io.runlog import RunLog
from omnithinker.judge.base import BudgetSpent
from omnithinker.train import checkpoint, faults
from omnithinker.train.undefined import UndefinedLimit

if TYPE_CHECKING:
    from omnithinker.train.loop import TrainingLoop
    from omnithinker.train.trainer import StepResult, Trainer


class ProgressObserver(Protocol):
    """Environment of a training loop: the live view."""

    def on_step(self, metrics: Any, total: int) -> None:
        """Show a finished and logged step."""
        ...

    def note(self, text: str) -> None:
        """Show a message to the user."""
        ...


class Observer(ProgressObserver, Protocol):
    """Environment of a run: the live view, and evaluation during training."""

    def on_evaluate(self, trainer: Trainer) -> None:
        """Evaluate the policy during training."""
        ...

    def on_validate(self, trainer: Trainer) -> Mapping[str, float]:
        """Validate the policy; return the accuracy of every task of the run."""
        ...


class Callback:
    """Hooks of a trainer; each does nothing by default."""

    def on_step_end(self, trainer: Any, result: Any) -> None:
        """React to a finished step; ``trainer.state`` includes it."""

    def on_step_error(self, trainer: Any, error: OmniThinkerError) -> None:
        """React to an error in a step; ``trainer.state`` is that of the last finished step."""

    def on_stop(self, trainer: Any) -> None:
        """React to a stop by the user after a step."""


def default_callbacks(trainer: Trainer) -> list[Callback]:
    """Return the callbacks of every run, in order: log, evaluate, save, show, stop."""
    return [LogMetrics(trainer), EvaluatePolicy(), SaveCheckpoints(trainer), ShowProgress(), LimitNonfinite()]


class LogMetrics(Callback):
    """Append metrics and rollouts to the run's logs, and stop a run whose rewards are undefined too often."""

    def __init__(self, trainer: Trainer) -> None:
        self.log = RunLog(trainer.folder, trainer.state.step)
        self.limit = UndefinedLimit(trainer.recipe.training.max_undefined)
        for record in self.log.records:
            self.limit.add(record)

    def on_step_end(self, trainer: Trainer, result: StepResult) -> None:
        """Log a step.

        Raises:
            RewardError: if a reward component has been undefined too often.
        """
        self.log.step(result.metrics)
        self.log.rollouts(result.metrics.step, result.groups)
        self.limit.add(result.metrics)


class EvaluatePolicy(Callback):
    """Evaluate or validate every ``evaluation.every`` steps; keep validation results in the trainer's state.

    At the end of the schedule a run validates once more; the final evaluation is the caller's.
    """

    def on_step_end(self, trainer: Trainer, result: StepResult) -> None:
        """Evaluate or validate if the step is due."""
        settings, state = trainer.recipe.evaluation, trainer.state
        end = state.step == len(trainer.schedule)
        if settings.every == 0 or not (end or state.step % settings.every == 0):
            return
        if settings.validation_items:
            selection = state.selection.after(state.step, trainer.observer.on_validate(trainer))
            trainer.state = replace(state, selection=selection)
        elif not end:
            trainer.observer.on_evaluate(trainer)


class SaveCheckpoints(Callback):
    """Save a checkpoint every ``training.checkpoint_every`` steps, at improvements, and before a run stops."""

    def __init__(self, trainer: TrainingLoop) -> None:
        self.folder = trainer.folder / CHECKPOINTS
        # A kill may have come between saving a checkpoint and keeping it as best.
        checkpoint.keep_best(self.folder, trainer.state.selection)

    def on_step_end(self, trainer: TrainingLoop, result: Any) -> None:
        """Save a checkpoint if the step is due."""
        state = trainer.state
        improved = state.selection.improved_at(state.step)
        due = state.step % trainer.recipe.training.checkpoint_every == 0
        if due or improved or trainer.finished:
            self._save(trainer)
        if improved:
            checkpoint.keep_best(self.folder, state.selection)

    def on_step_error(self, trainer: TrainingLoop, error: OmniThinkerError) -> None:
        """Save the last finished step, unless the failed step may have made some of its updates.

        Raises:
            BudgetSpent: with the step, if the error is one.
        """
        if isinstance(error, TrainingError):
            return
        self.on_stop(trainer)
        if isinstance(error, BudgetSpent):
            raise BudgetSpent(f"stopped after step {trainer.state.step}: {error}") from error

    def on_stop(self, trainer: TrainingLoop) -> None:
        """Save the last finished step if it has no checkpoint."""
        if trainer.state.step and not (self.folder / f"step-{trainer.state.step}").exists():
            self._save(trainer)

    def _save(self, trainer: TrainingLoop) -> None:
        keep = trainer.recipe.training.keep
        checkpoint.save_checkpoint(self.folder, trainer.state, trainer.policy, trainer.optimizer, keep=keep)


class ShowProgress(Callback):
    """Show every step."""

    def on_step_end(self, trainer: TrainingLoop, result: Any) -> None:
        """Show a step."""
        trainer.observer.on_step(result.metrics, len(trainer.schedule))


class LimitNonfinite(Callback):
    """Stop a run after several updates in a row with non-finite loss or gradient."""

    def on_step_end(self, trainer: TrainingLoop, result: Any) -> None:
        """Count skipped updates.

        Raises:
            TrainingError: if the limit is reached; a checkpoint of the step is on disk.
        """
        if trainer.state.nonfinite >= faults.NONFINITE_LIMIT:
            raise faults.nonfinite_error(trainer.folder, trainer.state.step)
