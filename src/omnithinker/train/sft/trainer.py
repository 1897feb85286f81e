"""Supervised fine-tuning: read this file from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from omnithinker.config.recipe import Recipe
from omnithinker.config.warmup import WarmupSettings
from omnithinker.io.runlog import MetricsLog
from omnithinker.io.sft_metrics import SftMetrics, SftTaskMetrics
from omnithinker.schedules.base import Batch, FixedSchedule
from omnithinker.schedules.joint import joint_batches
from omnithinker.train import faults
from omnithinker.train.callbacks import Callback, LimitNonfinite, ProgressObserver, SaveCheckpoints, ShowProgress
from omnithinker.train.checkpoint import TrainerState
from omnithinker.train.loop import TrainingLoop
from omnithinker.train.setup import load_or_resume_policy
from omnithinker.train.sft.demonstrations import Demonstration, Example, encode, end_token
from omnithinker.train.sft.update import TaskLoss, compute_gradient, learning_rate_at, measure_loss, union


@dataclass(frozen=True, slots=True)
class SftStepResult:
    """Outcome of an update, for callbacks."""

    batch: Batch
    """Items of the schedule."""
    metrics: SftMetrics
    """Metrics of the update."""


class SftUpdate(NamedTuple):
    """Loss and gradient of an update."""

    losses: dict[str, TaskLoss]
    """Loss per task."""
    grad_norm: float
    """Gradient norm before clipping."""

    @property
    def finite(self) -> bool:
        """True if the update was applied."""
        return math.isfinite(union(self.losses).total) and math.isfinite(self.grad_norm)


class SftTrainer(TrainingLoop):
    """Supervised fine-tuning of one policy on demonstrations; resumes from the newest checkpoint of its folder.

    Each epoch visits the demonstrations of all tasks in a new random order.

    Args:
        recipe: model, and settings shared with reinforcement learning (gradient norm, micro-batches, checkpoints).
        settings: optimizer, epochs and batches.
        demonstrations: what to learn.
        validation: held-out demonstrations, whose loss is measured.
        folder: run folder.
        observer: shows progress.
        seed: fixes the order of the data and the initial weights of an adapter.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: WarmupSettings,
        demonstrations: Sequence[Demonstration],
        validation: Sequence[Demonstration],
        folder: Path,
        observer: ProgressObserver,
        *,
        seed: int,
    ) -> None:
        self.recipe, self.settings, self.folder, self.observer = recipe, settings, folder, observer
        self.schedule = sft_schedule(demonstrations, settings, seed)
        self.policy, self.optimizer, self.state = load_or_resume_policy(
            recipe, settings, self.schedule, folder, observer.note, seed=seed
        )
        end = end_token(self.policy.tokenizer)
        self.examples = by_task([encode(one, self.policy.tokenizer, end) for one in demonstrations])
        self.steps_per_epoch = -(-len(demonstrations) // settings.batch_size)
        self.validation = [encode(one, self.policy.tokenizer, end) for one in validation]
        self.callbacks = [LogSftMetrics(self), LimitNonfinite(), SaveCheckpoints(self), ShowProgress()]

    def next_step(self) -> SftStepResult:
        """Make the next update of the schedule."""
        return self.step(self.schedule.batch(self.state.step, self.state.schedule))

    def after(self, result: SftStepResult) -> TrainerState:
        """Return the state after an update."""
        return replace(self.state, step=result.metrics.step)

    def step(self, batch: Batch) -> SftStepResult:
        """Make one update, and measure the validation loss if it is due."""
        started = time.perf_counter()
        rate = learning_rate_at(self.state.step, len(self.schedule), self.settings)
        update = self.optimize([self.examples[item.task][item.index] for item in batch], rate)
        trained = time.perf_counter()
        validation = self.validate()
        seconds = trained - started, time.perf_counter() - trained
        return SftStepResult(batch, self.metrics(rate, update, validation, seconds))

    def optimize(self, examples: Sequence[Example], learning_rate: float) -> SftUpdate:
        """Make one optimizer update on a batch; one that is not finite is skipped."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        training = self.recipe.training
        losses = faults.with_less_memory(
            lambda budget: compute_gradient(self.policy, examples, budget),
            training.microbatch_tokens,
            self.observer.note,
        )
        norm = torch.nn.utils.clip_grad_norm_(self.policy.trained, training.max_grad_norm)
        update = SftUpdate(losses, float(norm))
        if update.finite:
            self.optimizer.step()
        else:
            self.report_nonfinite(union(losses).mean, update.grad_norm, [_record(example) for example in examples])
        self.state = self.state.after_update(update.finite)
        return update

    def validate(self) -> dict[str, TaskLoss]:
        """Measure the loss of the held-out demonstrations per task; empty if it is not due."""
        step = self.state.step + 1
        if not self.validation or (step % self.settings.validate_every and step != len(self.schedule)):
            return {}
        return measure_loss(self.policy, self.validation, self.recipe.training.microbatch_tokens)

    def metrics(
        self, rate: float, update: SftUpdate, validation: dict[str, TaskLoss], seconds: tuple[float, float]
    ) -> SftMetrics:
        """Measure an update."""
        applied = update.finite
        everything = union(update.losses)
        tasks = {
            task: SftTaskMetrics(
                loss=update.losses[task].mean if task in update.losses and applied else None,
                examples=update.losses.get(task, TaskLoss()).examples,
                tokens=update.losses.get(task, TaskLoss()).tokens,
                val_loss=validation[task].mean if task in validation else None,
            )
            for task in sorted({*update.losses, *validation})
        }
        return SftMetrics(
            step=self.state.step + 1,
            epoch=(self.state.step + 1) / self.steps_per_epoch,
            loss=everything.mean if applied else None,
            val_loss=union(validation).mean if validation else None,
            grad_norm=update.grad_norm if applied else None,
            learning_rate=rate,
            examples=everything.examples,
            tokens=everything.tokens,
            nonfinite=int(not applied),
            seconds_train=seconds[0],
            seconds_validate=seconds[1],
            tasks=tasks,
        )


def sft_schedule(demonstrations: Sequence[Demonstration], settings: WarmupSettings, seed: int) -> FixedSchedule:
    """Return the batches of all updates."""
    sizes: dict[str, int] = {}
    for one in demonstrations:
        sizes[one.prompt.task] = sizes.get(one.prompt.task, 0) + 1
    batches = joint_batches(sizes, prompts_per_step=settings.batch_size, epochs=settings.epochs, seed=seed)
    return FixedSchedule(batches[: settings.max_steps])


def by_task(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Group examples by task, in their order."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.task, []).append(example)
    return groups


def _record(example: Example) -> dict[str, Any]:
    return {
        "task": example.task,
        "index": example.demonstration.prompt.index,
        "prompt": example.demonstration.prompt.text,
        "completion": example.demonstration.completion,
        "token_ids": list(example.completion_ids),
    }


class LogSftMetrics(Callback):
    """Append metrics to the run's log."""

    def __init__(self, trainer: SftTrainer) -> None:
        self.log = MetricsLog(trainer.folder, trainer.state.step)

    def on_step_end(self, trainer: SftTrainer, result: SftStepResult) -> None:
        """Log an update."""
        self.log.step(result.metrics)
