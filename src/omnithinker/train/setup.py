"""Where a run begins: policy, reference policy, optimizer and state, new or from the newest sound checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from omnithinker.config.recipe import Recipe
from omnithinker.errors import CheckpointError, DamagedCheckpoint
from omnithinker.policy.base import Policy
from omnithinker.policy.loading import load_policy, load_trained
from omnithinker.policy.logprobs import Reference
from omnithinker.schedules.base import Schedule
from omnithinker.train import checkpoint
from omnithinker.train.checkpoint import TrainerState


def start_training(
    recipe: Recipe, schedule: Schedule, folder: Path, note: Callable[[str], None], *, seed: int
) -> tuple[Policy, Reference | None, torch.optim.Optimizer, TrainerState]:
    """Policy, reference, optimizer and state: from the newest checkpoint that can be read, or from the base model."""
    for found in reversed(checkpoint.list_checkpoints(folder / "checkpoints")):
        try:
            state = checkpoint.read_state(found)
        except DamagedCheckpoint as error:
            note(f"{error}; set aside as {checkpoint.set_aside(found).name}, going back to the one before")
        else:
            resumed = _resume(recipe, folder, found, state, seed)
            checkpoint.prune(folder / "checkpoints", recipe.training.keep)  # a kill may have come before that
            return resumed
    policy = load_trained(recipe.model, seed=seed)
    state = TrainerState(step=0, updates=0, recipe=recipe.digest(), schedule=schedule.initial_state())
    return policy, _reference(policy, recipe), make_optimizer(policy, recipe), state


def _resume(
    recipe: Recipe, folder: Path, found: Path, state: TrainerState, seed: int
) -> tuple[Policy, Reference | None, torch.optim.Optimizer, TrainerState]:
    if state.recipe != recipe.digest():
        raise CheckpointError(
            f"{folder} was started under other settings (see its recipe.toml); use another output folder, or remove it"
        )
    policy = load_trained(recipe.model, seed=seed, checkpoint=found)
    optimizer = make_optimizer(policy, recipe)
    checkpoint.restore_optimizer(found, policy, optimizer)
    return policy, _reference(policy, recipe), optimizer, state


def _reference(policy: Policy, recipe: Recipe) -> Reference | None:
    """The policy that training started from; None where no task has a KL term."""
    if not needs_reference(recipe):
        return None
    return Reference(load_policy(recipe.model) if policy.adapter is None else policy)


def needs_reference(recipe: Recipe) -> bool:
    """Whether any task has a KL term."""
    return any(task.beta > 0 for task in recipe.tasks.values())


def make_optimizer(policy: Policy, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW over the weights that are trained."""
    training = recipe.training
    return torch.optim.AdamW(policy.trained, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, updates: int) -> None:
    """Constant learning rate after a linear warm-up over the first updates."""
    training = recipe.training
    share = min(1.0, (updates + 1) / training.warmup_steps) if training.warmup_steps else 1.0
    for group in optimizer.param_groups:
        group["lr"] = training.learning_rate * share
