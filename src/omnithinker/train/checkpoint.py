"""Checkpoints: atomic folders from which training resumes bit for bit.

A checkpoint holds weights or adapter with the tokenizer (a folder that transformers or PEFT loads), the optimizer's
state, and the position of the run. Every random number is a function of (seed, step), and so is the data order unless
the schedule keeps a state.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from omnithinker.errors import CheckpointError, DamagedCheckpoint
from omnithinker.io.files import write_json, writing
from omnithinker.io.layout import BEST
from omnithinker.io.results import checked
from omnithinker.io.step_metrics import StepMetrics
from omnithinker.policy.adapter import CONFIG_FILE, base_of
from omnithinker.policy.base import Policy
from omnithinker.schedules.base import Batch, Schedule
from omnithinker.train.best import Selection

STATE_FILE = "trainer.json"
_STEP = re.compile(r"step-(\d+)")
"""Name of a checkpoint; a user's copy has another one."""
OPTIMIZER_FILE = "optimizer.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerState:
    """Position of a run."""

    step: int
    """Rollout batches finished."""
    updates: int
    """Optimizer updates applied."""
    schedule: Mapping[str, Any]
    """State of the schedule, JSON values."""
    nonfinite: int = 0
    """Updates in a row, up to now, that were skipped because loss or gradient was not finite."""
    selection: Selection = field(default_factory=Selection)
    """Validation results so far."""

    def after_update(self, applied: bool) -> TrainerState:
        """Return the state after an update, applied or skipped."""
        if applied:
            return replace(self, updates=self.updates + 1, nonfinite=0)
        return replace(self, nonfinite=self.nonfinite + 1)

    def after_step(self, batch: Batch, schedule: Schedule, metrics: StepMetrics) -> TrainerState:
        """Return the state after a step."""
        return replace(
            self,
            step=self.step + 1,
            schedule=schedule.after(self.step, self.schedule, metrics),
            selection=self.selection.with_trained(item.task for item in batch),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that a checkpoint holds."""

    state: TrainerState
    """Position of the run."""
    policy: Policy
    """Configuration and tokenizer; its weights may be those of a later step."""
    weights: Mapping[str, Tensor]
    """Weights by the names of :meth:`~omnithinker.policy.base.Policy.state_dict`."""
    optimizer: Mapping[str, Tensor]
    """State of the optimizer, by name of weight and slot."""


def take_snapshot(
    state: TrainerState, policy: Policy, optimizer: torch.optim.Optimizer, *, copy: bool = False
) -> Snapshot:
    """Return what a checkpoint of this moment holds.

    Args:
        state: position of the run.
        policy: its weights; frozen ones are never copied.
        optimizer: its state.
        copy: copy trained weights and the optimizer's state to the CPU's memory, so that training may continue before
            they are written. Otherwise they are those in use.
    """
    weights, slots = policy.state_dict(), _optimizer_tensors(policy, optimizer)
    if copy:
        # Tied weights have several names and one copy.
        copies = {weight.data_ptr(): _on_cpu(weight) for weight in policy.trained}
        weights = {name: copies.get(tensor.data_ptr(), tensor) for name, tensor in weights.items()}
        slots = {name: _on_cpu(tensor) for name, tensor in slots.items()}
    return Snapshot(state=state, policy=policy, weights=weights, optimizer=slots)


def snapshot_bytes(policy: Policy, optimizer: torch.optim.Optimizer) -> int:
    """Return the size of what :func:`take_snapshot` copies."""
    tensors = [*policy.trained, *_optimizer_tensors(policy, optimizer).values()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def save_checkpoint(folder: Path, snapshot: Snapshot, keep: int) -> Path:
    """Write ``folder/step-N`` under a temporary name, rename it, and remove old checkpoints.

    Args:
        folder: the run's ``checkpoints``.
        snapshot: what is saved.
        keep: number of checkpoints to keep.

    Raises:
        DiskError: if the disk is full; earlier checkpoints are unchanged, and of this one nothing is left.
    """
    state = snapshot.state
    final = folder / f"step-{state.step}"
    temporary = folder / f".step-{state.step}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    with writing(final):
        try:
            temporary.mkdir(parents=True)
            snapshot.policy.save(temporary, snapshot.weights)
            save_file(dict(snapshot.optimizer), temporary / OPTIMIZER_FILE)
            (temporary / STATE_FILE).write_text(json.dumps(asdict(state)) + "\n", encoding="utf-8")
            for file in temporary.iterdir():
                _flush(file)
            _remove(final)
            temporary.rename(final)
            _flush(folder)
        except Exception:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    prune(folder, keep)
    return final


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints."""
    for old in list_checkpoints(folder)[:-keep]:
        _remove(old)


def list_checkpoints(folder: Path) -> list[Path]:
    """List the complete checkpoints of a run, oldest first."""
    steps = {int(match[1]): path for path in folder.glob("step-*") if (match := _STEP.fullmatch(path.name))}
    return [steps[step] for step in sorted(steps) if (steps[step] / STATE_FILE).exists()]


def read_state(checkpoint: Path) -> TrainerState:
    """Read the state of a checkpoint, and check that its files are complete.

    Raises:
        DamagedCheckpoint: if a file is missing, truncated or of another format. Other errors, such as a model that
            does not fit into memory, do not count as damage.
    """
    try:
        record = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
        state = checked(TrainerState, record, STATE_FILE, "it is not used")
        config = "config.json" if base_of(checkpoint) is None else CONFIG_FILE
        json.loads((checkpoint / config).read_text(encoding="utf-8"))
        weights = sorted(checkpoint.glob("*model*.safetensors"))
        for file in (*weights, checkpoint / OPTIMIZER_FILE):
            with safe_open(file, framework="pt"):  # compares the header with the file's length
                pass
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise DamagedCheckpoint(f"{checkpoint}: damaged ({error})") from error
    if not weights:
        raise DamagedCheckpoint(f"{checkpoint}: has no weights")
    return state


def keep_best(folder: Path, selection: Selection) -> None:
    """Keep weights and tokenizer of the best steps in folders of their own, beyond the pruning of checkpoints.

    Files are hard links to those of the checkpoint if the file system supports that. A step whose checkpoint is gone
    has its folder already.

    Args:
        folder: the run's ``checkpoints``.
        selection: best steps and the names of their folders.

    Raises:
        DiskError: if the disk is full.
    """
    for name, best in selection.folders().items():
        source, final = folder / f"step-{best.step}", folder / name
        if not source.exists():
            continue
        with replacing(final) as temporary:
            link_weights(source, temporary)
            write_json(temporary / BEST, asdict(best))


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """Make a folder under a temporary name, and give it its own at the end of a ``with`` block.

    Raises:
        DiskError: if the disk is full; an existing folder of that name is unchanged.
    """
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    with writing(final):
        temporary.mkdir(parents=True)
        yield temporary
        _remove(final)
        temporary.rename(final)
        _flush(final.parent)


def link_weights(checkpoint: Path, folder: Path) -> None:
    """Add weights and tokenizer of a checkpoint to a folder, as hard links if the file system supports that."""
    for file in checkpoint.iterdir():
        if file.name not in (STATE_FILE, OPTIMIZER_FILE):
            _link(file, folder / file.name)


def set_aside(checkpoint: Path) -> Path:
    """Rename a damaged checkpoint so that no run resumes from it; nothing is deleted.

    Returns:
        The new name.
    """
    aside = checkpoint.with_name(f"damaged-{checkpoint.name}")
    shutil.rmtree(aside, ignore_errors=True)
    return checkpoint.rename(aside)


def restore_optimizer(checkpoint: Path, policy: Policy, optimizer: torch.optim.Optimizer) -> None:
    """Load the optimizer's state from a checkpoint.

    Raises:
        CheckpointError: if it belongs to another model.
    """
    # The fused optimizer needs its step counts on the device of the weights.
    tensors = load_file(checkpoint / OPTIMIZER_FILE, device=str(policy.device))
    parameters = dict(policy.model.named_parameters())
    for key, tensor in tensors.items():
        name, _, slot = key.rpartition("/")
        if name not in parameters:
            raise CheckpointError(f"{checkpoint}: optimizer state for {name!r}, which the model does not have")
        optimizer.state[parameters[name]][slot] = tensor


def _optimizer_tensors(policy: Policy, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state: Any = optimizer.state
    return {
        f"{name}/{slot}": value.contiguous()
        for name, parameter in policy.model.named_parameters()
        for slot, value in state.get(parameter, {}).items()
    }


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def _link(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
        _flush(target)


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint if it exists; a process killed meanwhile leaves no partial one under its name."""
    if checkpoint.exists():
        doomed = checkpoint.rename(checkpoint.with_name(f".{checkpoint.name}.{os.getpid()}.old.tmp"))
        shutil.rmtree(doomed, ignore_errors=True)


def _flush(path: Path) -> None:
    """Flush a file or folder to the disk before the rename that publishes it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
