"""Backward transfer and entropy change (Eq. 6 and 12). Rows are evaluated tasks, columns trained tasks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnithinker.planning.accuracies import FloatArray

ASSUMED_ITEMS = 100
"""Test items assumed for the floor of an accuracy if their number is unknown."""


def accuracy_floor(n: npt.NDArray[np.int64] | None, size: int) -> FloatArray:
    """Return the floor of accuracies before taking logarithms: half an item, 1 / (2 n_i).

    Args:
        n: [K] test items per task; None if unknown.
        size: K.

    Returns:
        [K].
    """
    counts = np.full(size, ASSUMED_ITEMS) if n is None else n
    return np.asarray(1.0 / (2.0 * counts), dtype=np.float64)


def backward_transfer(base: FloatArray, after: FloatArray, floor: FloatArray) -> FloatArray:
    """Compute Eq. 6: BWT_ij = log Acc(after training on j, task i) - log Acc(base, task i), accuracies floored.

    Args:
        base: [..., K] accuracies before training.
        after: [..., K, K] accuracy on task i (row) after training on task j (column).
        floor: [K] from ``accuracy_floor``.

    Returns:
        [..., K, K] in nats; the diagonal is the gain of a task from its own training.
    """
    log_after = np.log(np.maximum(after, floor[:, None]))
    log_base = np.log(np.maximum(base, floor))
    return np.asarray(log_after - log_base[..., None], dtype=np.float64)


def entropy_change(base: FloatArray, after: FloatArray) -> FloatArray:
    """Compute Eq. 12: H_ij = E(after training on j, task i) / E(base, task i) - 1, with the evaluated task as row.

    The paper prints this matrix with the trained task as row.

    Args:
        base: [K] token entropies of the base model (nats).
        after: [K, K] token entropy on task i (row) after training on task j (column).

    Returns:
        [K, K] relative changes; NaN where an entropy is NaN or that of the base is not positive.
    """
    ratio = after / np.where(base > 0, base, np.nan)[:, None]
    return np.asarray(ratio - 1.0, dtype=np.float64)
