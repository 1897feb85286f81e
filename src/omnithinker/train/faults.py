"""What a run does when numbers or memory fail: tell the two kinds apart, and keep a batch for inspection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from omnithinker.errors import TrainingError
from omnithinker.io.files import make_folder, write_json
from omnithinker.policy.base import Policy
from omnithinker.train.batching import Row
from omnithinker.train.metrics import Update

Result = TypeVar("Result")

FOLDER = "nonfinite"
"""Folder of a run for batches whose loss or gradient was not finite."""
IN_A_ROW = 3
"""The run stops after so many updates without a finite loss and gradient."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: of a GPU, of PyTorch's CPU allocator, or of Python."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def with_less_memory(compute: Callable[[int], Result], budget: int, note: Callable[[str], None]) -> Result:
    """Compute within a budget of tokens; when memory runs out, once more with half of it.

    Raises:
        TrainingError: memory ran out again.
    """
    try:
        return compute(budget)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Out of the except block: the error's frames held the tensors of the first try.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    note(f"out of memory; trying again with training.microbatch_tokens = {budget // 2}")
    try:
        return compute(budget // 2)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"out of memory, and again with training.microbatch_tokens = {budget // 2}; lower it further, or "
            "sampling.max_new_tokens, or take a smaller model"
        ) from error


def write_aside(folder: Path, step: int, update: Update, rows: Sequence[Row], policy: Policy) -> str:
    """Write the minibatch of an update that was not applied to ``folder/nonfinite/step-N.json``.

    Args:
        folder: the run folder.
        step: the step, counted from 1.
        update: what came out.
        rows: the minibatch.
        policy: its gradients tell which weights are concerned.

    Returns:
        What to tell the user; names the file. A later minibatch of the same step gets one of its own.
    """
    make_folder(folder / FOLDER)
    taken = len(list((folder / FOLDER).glob(f"step-{step}*.json")))
    file = folder / FOLDER / (f"step-{step}.json" if not taken else f"step-{step}-{taken + 1}.json")
    weights = [
        name
        for name, parameter in policy.model.named_parameters()
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all())
    ]
    write_json(
        file,
        {
            "step": step,
            "loss": str(update.loss),
            "grad_norm": str(update.grad_norm),
            "weights_with_nonfinite_gradient": weights,
            "rows": [
                {
                    "task": row.prompt.task,
                    "index": row.prompt.index,
                    "prompt": row.prompt.text,
                    "completion": row.completion.text,
                    "token_ids": list(row.completion.token_ids),
                    "logprobs": [str(x) for x in row.completion.logprobs],
                    "advantage": row.advantage,
                    "weight": row.weight,
                }
                for row in rows
            ],
        },
    )
    return f"step {step}: loss or gradient not finite, update left out; see {file}"


def too_many(folder: Path, step: int) -> TrainingError:
    """The error of a run whose updates are not finite any more."""
    return TrainingError(
        f"loss or gradient was not finite in {IN_A_ROW} updates in a row, the last in step {step}; none of them was "
        f"applied. The batches are in {folder / FOLDER}, the weights before them in the newest checkpoint. Look at "
        "rewards and log-probabilities there, or train with a lower training.learning_rate"
    )
