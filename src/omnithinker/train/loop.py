"""The loop around the steps of every trainer: callbacks, stopping, and recovery from non-finite updates."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from omnithinker.config.recipe import Recipe
from omnithinker.errors import Interrupted, OmniThinkerError
from omnithinker.io.closing import Closing
from omnithinker.policy.base import Policy
from omnithinker.schedules.base import Schedule
from omnithinker.train import faults
from omnithinker.train.callbacks import Callback, ProgressObserver
from omnithinker.train.checkpoint import TrainerState
from omnithinker.ui.interrupt import StopFlag


class TrainingLoop(Closing):
    """Steps along a schedule with callbacks in between; subclasses define the step."""

    recipe: Recipe
    """All settings."""
    schedule: Schedule
    """Data of every step."""
    folder: Path
    """Run folder."""
    observer: ProgressObserver
    """Shows progress."""
    policy: Policy
    """The policy in training."""
    optimizer: torch.optim.Optimizer
    """Its optimizer."""
    state: TrainerState
    """Position of the run."""
    callbacks: Sequence[Callback]
    """Called in order after every step."""
    failure: OmniThinkerError | None = None
    """Reason to stop after the step, set by a callback."""
    clock: Callable[[], float] = staticmethod(time.monotonic)
    """Seconds, for checkpoints by time."""

    @abstractmethod
    def next_step(self) -> Any:
        """Make the next step; return its result, which has ``metrics``."""

    @abstractmethod
    def after(self, result: Any) -> TrainerState:
        """Return the state after a step."""

    @cached_property
    def stop(self) -> StopFlag:
        """Request of the user to stop."""
        return StopFlag()

    @property
    def finished(self) -> bool:
        """True at the end of the schedule."""
        return self.state.step >= len(self.schedule)

    def train(self) -> TrainerState:
        """Run the remaining steps of the schedule.

        Returns:
            The final state; ``policy`` is trained.

        Raises:
            Interrupted: if the user stops the run; a checkpoint of the last finished step is on disk.
            BudgetSpent: if a judge's budget is used up; a checkpoint of the last finished step is on disk.
            RewardError: if a reward component fails, or is undefined too often.
            TrainingError: if loss or gradient stay non-finite, or memory runs out twice in one update.
            DiskError: if a checkpoint cannot be written.
        """
        with self.stop:
            while not self.finished:
                try:
                    result = self.next_step()
                except OmniThinkerError as error:
                    for callback in self.callbacks:
                        callback.on_step_error(self, error)
                    raise
                self.state = self.after(result)
                for callback in self.callbacks:
                    callback.on_step_end(self, result)
                if self.failure is not None or self.stop.requested:
                    break
            for callback in self.callbacks:
                callback.on_stop(self)
        if self.failure is not None:
            raise self.failure
        if not self.finished:
            raise Interrupted(f"stopped after step {self.state.step}; the same command resumes from there")
        return self.state

    def close(self) -> None:
        """Wait for a checkpoint being written; the policy remains usable."""
        for callback in self.callbacks:
            callback.close()

    def report_nonfinite(self, loss: float, grad_norm: float, samples: Sequence[Mapping[str, Any]]) -> None:
        """Write the samples of a skipped update to a file and tell the user."""
        step = self.state.step + 1
        file = faults.write_nonfinite(self.folder, step, loss, grad_norm, samples, self.policy)
        self.observer.note(f"step {step}: loss or gradient not finite, update skipped; see {file}")
