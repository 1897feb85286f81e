"""Predicted accuracies after a curriculum: Algorithm 1, its closed form (Eq. 9), and Eq. 14.

The prediction assumes that transfer does not depend on earlier training (Eq. 7), and that training on a task leads
to the same accuracy on it from any start. Values above 1 are returned unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from omnithinker.planning.accuracies import FloatArray

IntArray = npt.NDArray[np.int64]
"""Array of 64-bit integers."""


def terminal_accuracies(base: FloatArray, bwt: FloatArray, order: Sequence[int]) -> FloatArray:
    """Apply Algorithm 1 as printed: each trained task multiplies every accuracy by exp(BWT).

    Args:
        base: [K] accuracies before training (positive).
        bwt: [K, K] backward transfer with its diagonal.
        order: task indices, first trained first.

    Returns:
        [K] accuracy of every task after the last one, in the order of the input.
    """
    accuracy = base.copy()
    for trained in order:
        # Training on a task leads to its single-task accuracy from any start (saturation).
        accuracy[trained] = base[trained]
        accuracy = accuracy * np.exp(bwt[:, trained])
    return accuracy


def is_before(orders: IntArray) -> npt.NDArray[np.bool_]:
    """Compute the precedence of tasks.

    Args:
        orders: [M, K] task indices, first trained first.

    Returns:
        [M, K, K] True where task i (row) comes before task j (column).
    """
    position = np.argsort(orders, axis=1)
    return np.asarray(position[:, :, None] < position[:, None, :])


def log_terminal_accuracies(self_accuracy: FloatArray, bwt: FloatArray, orders: IntArray) -> FloatArray:
    """Evaluate the closed form log a_i = log self_i + sum over j trained after i of BWT_ij for many orders.

    Args:
        self_accuracy: [K] accuracy of each task after its own single-task run.
        bwt: [K, K]; the diagonal is ignored.
        orders: [M, K] task indices.

    Returns:
        [M, K] logarithms of the predicted accuracies, columns in the order of the input.
    """
    later = np.einsum("mij,ij->mi", is_before(orders).astype(np.float64), bwt)
    return np.asarray(np.log(self_accuracy) + later, dtype=np.float64)


def delta_rel(log_terminal: FloatArray, base: FloatArray) -> FloatArray:
    """Compute delta_rel of Eq. 14, (1/K) sum_i log(a_i / a_i,base).

    Args:
        log_terminal: [..., K] logarithms of predicted or measured accuracies.
        base: [K] accuracies of the base model (positive).

    Returns:
        [...] mean relative gain in nats.
    """
    return np.asarray((log_terminal - np.log(base)).mean(axis=-1), dtype=np.float64)
