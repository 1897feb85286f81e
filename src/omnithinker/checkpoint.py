"""Checkpoints: atomic folders from which training goes on bit for bit.

A checkpoint holds the weights and tokenizer (a folder that transformers loads), the optimizer's state, and a step.
Nothing else: data order and every random number are functions of (seed, step).
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from omnithinker.errors import DamagedCheckpoint
from omnithinker.policy import Policy

STATE_FILE = "trainer.json"
OPTIMIZER_FILE = "optimizer.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerState:
    """Where a run is."""

    step: int
    """Rollout batches finished."""
    updates: int
    """Optimizer updates made."""
    recipe: str
    """Digest of the recipe that the run belongs to."""


def save_checkpoint(
    folder: Path, state: TrainerState, policy: Policy, optimizer: torch.optim.Optimizer, keep: int
) -> Path:
    """Write ``folder/step-N`` under a temporary name, rename it, and remove old checkpoints.

    Args:
        folder: the run's ``checkpoints``.
        state: where the run is.
        policy: weights and tokenizer to save.
        optimizer: its state is saved too.
        keep: how many checkpoints remain.
    """
    final = folder / f"step-{state.step}"
    temporary = folder / f".step-{state.step}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    policy.save(temporary)
    save_file(_optimizer_tensors(policy, optimizer), temporary / OPTIMIZER_FILE)
    record = {"step": state.step, "updates": state.updates, "recipe": state.recipe}
    (temporary / STATE_FILE).write_text(json.dumps(record) + "\n", encoding="utf-8")
    for file in temporary.iterdir():
        _flush(file)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    _flush(folder)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    found = [path for path in folder.glob("step-*") if (path / STATE_FILE).exists()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def read_state(checkpoint: Path) -> TrainerState:
    """Read where a checkpoint's run was.

    Raises:
        DamagedCheckpoint: the file is damaged.
    """
    try:
        return TrainerState(**json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DamagedCheckpoint(f"{checkpoint}: damaged ({error})") from error


def restore_optimizer(checkpoint: Path, policy: Policy, optimizer: torch.optim.Optimizer) -> None:
    """Load the optimizer's state from a checkpoint.

    Raises:
        DamagedCheckpoint: the file is damaged or belongs to another model.
    """
    try:
        tensors = load_file(checkpoint / OPTIMIZER_FILE, device=str(policy.device))
    except Exception as error:
        raise DamagedCheckpoint(f"{checkpoint}: optimizer state cannot be read: {error}") from error
    parameters = dict(policy.model.named_parameters())
    for key, tensor in tensors.items():
        name, _, slot = key.rpartition("/")
        if name not in parameters:
            raise DamagedCheckpoint(f"{checkpoint}: optimizer state for {name!r}, which the model does not have")
        # AdamW keeps its step count on the CPU unless fused; ``optimizer`` decides where it wants it.
        optimizer.state[parameters[name]][slot] = tensor


def _optimizer_tensors(policy: Policy, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state: Any = optimizer.state
    return {
        f"{name}/{slot}": value.contiguous()
        for name, parameter in policy.model.named_parameters()
        for slot, value in state.get(parameter, {}).items()
    }


def _flush(path: Path) -> None:
    """Make sure a file or folder is on the disk before the rename that makes it count."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
