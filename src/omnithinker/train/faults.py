"""Recovery from non-finite numbers and exhausted memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from omnithinker.errors import TrainingError
from omnithinker.io.files import make_folder, write_json
from omnithinker.io.layout import NONFINITE
from omnithinker.policy.base import Policy

Result = TypeVar("Result")

NONFINITE_LIMIT = 3
"""A run stops after this many non-finite updates in a row."""


def is_out_of_memory(error: BaseException) -> bool:
    """True if memory ran out: of a GPU, of PyTorch's CPU allocator, or of Python."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def with_less_memory(compute: Callable[[int], Result], budget: int, note: Callable[[str], None]) -> Result:
    """Compute within a budget of tokens; if memory runs out, retry once with half of it.

    Raises:
        TrainingError: if memory runs out again.
    """
    try:
        return compute(budget)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Outside the except block, because the error's frames hold the tensors of the first attempt.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    note(f"out of memory; retrying with training.microbatch_tokens = {budget // 2}")
    try:
        return compute(budget // 2)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"out of memory, also with training.microbatch_tokens = {budget // 2}; lower it further, or "
            "sampling.max_new_tokens, or use a smaller model"
        ) from error


def write_nonfinite(
    folder: Path, step: int, loss: float, grad_norm: float, samples: Sequence[Mapping[str, Any]], policy: Policy
) -> Path:
    """Write the minibatch of a skipped update to ``folder/nonfinite/step-N.json``.

    Args:
        folder: the run folder.
        step: the step, counted from 1.
        loss: its loss.
        grad_norm: its gradient norm.
        samples: the minibatch, JSON values.
        policy: its gradients show which weights are affected.

    Returns:
        The file; a later minibatch of the same step gets its own.
    """
    make_folder(folder / NONFINITE)
    existing = len(list((folder / NONFINITE).glob(f"step-{step}*.json")))
    file = folder / NONFINITE / (f"step-{step}.json" if not existing else f"step-{step}-{existing + 1}.json")
    weights = [
        name
        for name, parameter in policy.model.named_parameters()
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all())
    ]
    write_json(
        file,
        {
            "step": step,
            "loss": str(loss),
            "grad_norm": str(grad_norm),
            "weights_with_nonfinite_gradient": weights,
            "samples": list(samples),
        },
    )
    return file


def nonfinite_error(folder: Path, step: int) -> TrainingError:
    """Return the error of a run whose updates stay non-finite."""
    return TrainingError(
        f"loss or gradient was not finite in {NONFINITE_LIMIT} updates in a row, the last in step {step}; all were "
        f"skipped. The batches are in {folder / NONFINITE}, the weights before them in the newest checkpoint. Look at "
        "rewards and log-probabilities there, or train with a lower training.learning_rate"
    )
