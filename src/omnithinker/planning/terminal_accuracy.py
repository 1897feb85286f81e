"""Predicted accuracies at the end of a curriculum: Algorithm 1, its closed form, Eq. 9, and Eq. 14.

The prediction rests on two assumptions: transfer does not depend on what was trained before (Eq. 7), and one pass
over a task's data brings it to the same accuracy from wherever it starts. Values above 1 are returned as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from omnithinker.planning.accuracies import FloatArray

IntArray = npt.NDArray[np.int64]
"""Array of 64-bit integers; shapes are given where it is used."""


def terminal_accuracies(base: FloatArray, bwt: FloatArray, order: Sequence[int]) -> FloatArray:
    """Algorithm 1 as printed: train the tasks in order, each multiplying every accuracy by exp(BWT).

    Args:
        base: [K] accuracies before training (positive).
        bwt: [K, K] backward transfer with its diagonal.
        order: task indices, first trained first.

    Returns:
        [K] accuracy of every task (in the tasks' own order) after the last one.
    """
    accuracy = base.copy()
    for trained in order:
        # A task reaches its single-task accuracy whatever happened to it before (saturation).
        accuracy[trained] = base[trained]
        accuracy = accuracy * np.exp(bwt[:, trained])
    return accuracy


def is_before(orders: IntArray) -> npt.NDArray[np.bool_]:
    """Which task comes before which.

    Args:
        orders: [M, K] task indices, first trained first.

    Returns:
        [M, K, K] True where task i (row) comes before task j (column).
    """
    position = np.argsort(orders, axis=1)
    return np.asarray(position[:, :, None] < position[:, None, :])


def log_terminal_accuracies(self_accuracy: FloatArray, bwt: FloatArray, orders: IntArray) -> FloatArray:
    """Closed form: log a_i = log self_i + sum over j trained after i of BWT_ij, for many orders at once.

    Args:
        self_accuracy: [K] accuracy of each task after its own single-task run.
        bwt: [K, K]; the diagonal does not count.
        orders: [M, K] task indices.

    Returns:
        [M, K] logarithms of the predicted accuracies, columns in the tasks' own order.
    """
    later = np.einsum("mij,ij->mi", is_before(orders).astype(np.float64), bwt)
    return np.asarray(np.log(self_accuracy) + later, dtype=np.float64)


def delta_rel(log_terminal: FloatArray, base: FloatArray) -> FloatArray:
    """Eq. 14: (1/K) sum_i log(a_i / a_i,base).

    Args:
        log_terminal: [..., K] logarithms of predicted or measured accuracies.
        base: [K] accuracies of the base model (positive).

    Returns:
        [...] mean relative gain in nats.
    """
    return np.asarray((log_terminal - np.log(base)).mean(axis=-1), dtype=np.float64)
