"""Start of a run: policy, reference policy, optimizer and state, new or from the newest readable checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
    policy, optimizer, state = _resume(recipe, folder, note, seed) or _load_new(recipe, schedule, seed)
    return policy, _reference(policy, recipe, base), optimizer, state


def _load_new(recipe: Recipe, schedule: Schedule, seed: int) -> tuple[Policy, torch.optim.Optimizer, TrainerState]:
    policy = load_trained(recipe.model, seed=seed)
    state = TrainerState(step=0, updates=0, schedule=schedule.initial_state())
    return policy, make_optimizer(policy, recipe), state


def _resume(
    recipe: Recipe, folder: Path, note: Callable[[str], None], seed: int
) -> tuple[Policy, torch.optim.Optimizer, TrainerState] | None:
    """Load the newest readable checkpoint; None if there is none."""
    for path in reversed(checkpoint.list_checkpoints(folder / CHECKPOINTS)):
        try:
            state = checkpoint.read_state(path)
        except DamagedCheckpoint as error:
            note(f"{error}; set aside as {checkpoint.set_aside(path).name}, trying the one before")
            continue
        policy = load_trained(recipe.model, seed=seed, checkpoint=path)
        optimizer = make_optimizer(policy, recipe)
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


def make_optimizer(policy: Policy, recipe: Recipe) -> torch.optim.Optimizer:
    """Create AdamW over the trained weights."""
    training = recipe.training
    return torch.optim.AdamW(policy.trained, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, updates: int) -> None:
    """Set the learning rate of the next update: linear warm-up, then constant."""
    training = recipe.training
    share = min(1.0, (updates + 1) / training.warmup_steps) if training.warmup_steps else 1.0
    for group in optimizer.param_groups:
        group["lr"] = training.learning_rate * share
