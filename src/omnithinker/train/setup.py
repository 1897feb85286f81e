"""Start of a run: policy, reference policy, optimizer and state, new or from the newest readable checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch

from omnithinker.config.recipe import Recipe
from omnithinker.errors import DamagedCheckpoint
from omnithinker.io.layout import CHECKPOINTS
from omnithinker.policy.base import Policy
from omnithinker.policy.loading import load_policy, load_trained
from omnithinker.policy.logprobs import Reference
from omnithinker.schedules.base import Schedule
from omnithinker.train import checkpoint
from omnithinker.train.checkpoint import TrainerState


class AdamW(Protocol):
    """Settings of the optimizer."""

    @property
    def learning_rate(self) -> float:
        """Learning rate."""
        ...

    @property
    def weight_decay(self) -> float:
        """Weight decay."""
        ...


def load_or_resume(
    recipe: Recipe,
    schedule: Schedule,
    folder: Path,
    note: Callable[[str], None],
    *,
    seed: int,
    base: Policy | None = None,
) -> tuple[Policy, Reference | None, torch.optim.Optimizer, TrainerState]:
    """Load policy, reference, optimizer and state from the newest readable checkpoint, or from the base model.

    Args:
        recipe: all settings; those of the checkpoint, see :func:`~omnithinker.train.folder.refuse_changed_settings`.
        schedule: schedule of the run, for its initial state.
        folder: run folder.
        note: receives messages about damaged checkpoints, which are set aside.
        seed: fixes the initial weights of an adapter.
        base: frozen base policy, if it is loaded already.
    """
    policy, optimizer, state = load_or_resume_policy(recipe, recipe.training, schedule, folder, note, seed=seed)
    return policy, _reference(policy, recipe, base), optimizer, state


def load_or_resume_policy(
    recipe: Recipe,
    adamw: AdamW,
    schedule: Schedule,
    folder: Path,
    note: Callable[[str], None],
    *,
    seed: int,
) -> tuple[Policy, torch.optim.Optimizer, TrainerState]:
    """Load policy, optimizer of these settings and state; arguments as in :func:`load_or_resume`."""
    return _resume(recipe, adamw, folder, note, seed) or _load_new(recipe, adamw, schedule, seed)


def _load_new(
    recipe: Recipe, adamw: AdamW, schedule: Schedule, seed: int
) -> tuple[Policy, torch.optim.Optimizer, TrainerState]:
    policy = load_trained(recipe.model, seed=seed)
    state = TrainerState(step=0, updates=0, schedule=schedule.initial_state())
    return policy, make_optimizer(policy, adamw), state


def _resume(
    recipe: Recipe, adamw: AdamW, folder: Path, note: Callable[[str], None], seed: int
) -> tuple[Policy, torch.optim.Optimizer, TrainerState] | None:
    """Load the newest readable checkpoint; None if there is none."""
    for path in reversed(checkpoint.list_checkpoints(folder / CHECKPOINTS)):
        try:
            state = checkpoint.read_state(path)
        except DamagedCheckpoint as error:
            note(f"{error}; set aside as {checkpoint.set_aside(path).name}, trying the one before")
            continue
        policy = load_trained(recipe.model, seed=seed, checkpoint=path)
        optimizer = make_optimizer(policy, adamw)
        checkpoint.restore_optimizer(path, policy, optimizer)
        checkpoint.prune(folder / CHECKPOINTS, recipe.training.keep)  # a kill may have come before that
        return policy, optimizer, state
    return None


def _reference(policy: Policy, recipe: Recipe, base: Policy | None) -> Reference | None:
    """Return the policy that training started from; None if no task has a KL term."""
    if not needs_reference(recipe):
        return None
    if policy.adapter is not None:
        return Reference(policy)
    return Reference(base or load_policy(recipe.model))


def needs_reference(recipe: Recipe) -> bool:
    """True if any task has a KL term."""
    return any(task.beta > 0 for task in recipe.tasks.values())


def make_optimizer(policy: Policy, adamw: AdamW) -> torch.optim.Optimizer:
    """Create AdamW over the trained weights."""
    return torch.optim.AdamW(policy.trained, lr=adamw.learning_rate, weight_decay=adamw.weight_decay, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, updates: int) -> None:
    """Set the learning rate of the next update: linear warm-up, then constant."""
    training = recipe.training
    share = min(1.0, (updates + 1) / training.warmup_steps) if training.warmup_steps else 1.0
    for group in optimizer.param_groups:
        group["lr"] = training.learning_rate * share
