"""Callbacks around the steps of a trainer: log, evaluation, checkpoints, progress, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from omnithinker.errors import OmniThinkerError, RewardError, TrainingError
from omnithinker.io.layout import CHECKPOINTS
from omnithinker.io.memory import free_memory
from omnithinker.io.runlog import RunLog
from omnithinker.judge.base import BudgetSpent
from omnithinker.train import checkpoint, faults
from omnithinker.train.background import BackgroundWriter
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
        """React to the end of training after a finished step: the schedule's, a stop, or ``trainer.failure``."""

    def close(self) -> None:
        """Release resources."""


def default_callbacks(trainer: Trainer) -> list[Callback]:
    """Return the callbacks of every run, in order: log, find reasons to stop, evaluate, save, show."""
    return [LogMetrics(trainer), LimitNonfinite(), EvaluatePolicy(), SaveCheckpoints(trainer), ShowProgress()]


class LogMetrics(Callback):
    """Append metrics and rollouts to the run's logs; stop a run whose rewards are undefined too often."""

    def __init__(self, trainer: Trainer) -> None:
        self.log = RunLog(trainer.folder, trainer.state.step)
        self.limit = UndefinedLimit(trainer.recipe.training.max_undefined)
        for record in self.log.records:
            self.limit.add(record)

    def on_step_end(self, trainer: Trainer, result: StepResult) -> None:
        """Log a step."""
        self.log.step(result.metrics)
        self.log.rollouts(result.metrics.step, result.groups)
        try:
            self.limit.add(result.metrics)
        except RewardError as error:
            trainer.failure = error


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
    """Save checkpoints by time and by steps, at improvements, and before a run stops.

    Training continues while a checkpoint is written from a copy, unless memory is too short for the copy.
    """

    def __init__(self, trainer: TrainingLoop) -> None:
        self.folder = trainer.folder / CHECKPOINTS
        self.writer = BackgroundWriter()
        self.saved_step, self.saved_at_s = trainer.state.step, trainer.clock()
        self.copies = True
        # A kill may have come between saving a checkpoint and keeping it as best.
        checkpoint.keep_best(self.folder, trainer.state.selection)

    def on_step_end(self, trainer: TrainingLoop, result: Any) -> None:
        """Save a checkpoint if the step is due.

        Raises:
            DiskError: if this or an earlier checkpoint cannot be written.
        """
        self.writer.check()
        if self._due(trainer) or trainer.state.selection.improved_at(trainer.state.step):
            self.writer.wait()  # for its copy to be released
            self._save(trainer, copy=self._has_memory(trainer))

    def on_stop(self, trainer: TrainingLoop) -> None:
        """Save the last step.

        Raises:
            DiskError: if this or an earlier checkpoint cannot be written.
        """
        self.writer.wait()
        if trainer.state.step != self.saved_step:
            self._save(trainer)

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

    def close(self) -> None:
        """Wait for the checkpoint that is being written."""
        self.writer.close()

    def _due(self, trainer: TrainingLoop) -> bool:
        settings = trainer.recipe.training
        by_steps = settings.checkpoint_every > 0 and trainer.state.step % settings.checkpoint_every == 0
        return by_steps or 0 < settings.checkpoint_minutes * 60 <= trainer.clock() - self.saved_at_s

    def _has_memory(self, trainer: TrainingLoop) -> bool:
        """Return True if memory holds a copy and leaves as much again for training."""
        free = free_memory()
        enough = free is None or free >= 2 * checkpoint.snapshot_bytes(trainer.policy, trainer.optimizer)
        if self.copies and not enough:
            trainer.observer.note("too little memory to copy weights and optimizer: training waits for checkpoints")
        self.copies = enough
        return enough

    def _save(self, trainer: TrainingLoop, *, copy: bool = False) -> None:
        """Save a checkpoint; a copy is written in the background."""
        snapshot = checkpoint.take_snapshot(trainer.state, trainer.policy, trainer.optimizer, copy=copy)
        keep, selection = trainer.recipe.training.keep, trainer.state.selection

        def write() -> None:
            checkpoint.save_checkpoint(self.folder, snapshot, keep)
            if selection.improved_at(snapshot.state.step):
                checkpoint.keep_best(self.folder, selection)

        if copy:
            self.writer.submit(write)
        else:
            write()
        self.saved_step, self.saved_at_s = trainer.state.step, trainer.clock()


class ShowProgress(Callback):
    """Show every step."""

    def on_step_end(self, trainer: TrainingLoop, result: Any) -> None:
        """Show a step."""
        trainer.observer.on_step(result.metrics, len(trainer.schedule))


class LimitNonfinite(Callback):
    """Stop a run after several updates in a row with non-finite loss or gradient."""

    def on_step_end(self, trainer: TrainingLoop, result: Any) -> None:
        """Count skipped updates."""
        if trainer.state.nonfinite >= faults.NONFINITE_LIMIT:
            trainer.failure = faults.nonfinite_error(trainer.folder, trainer.state.step)
