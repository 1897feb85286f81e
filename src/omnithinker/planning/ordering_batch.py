"""Optimal orders of many matrices of the same tasks, for resampling."""

from __future__ import annotations

import numpy as np

from omnithinker.planning.accuracies import FloatArray
from omnithinker.planning.ordering import Order, all_orders, solve_subsets
from omnithinker.planning.ordering_search import insertion_search
from omnithinker.planning.terminal_accuracy import IntArray, is_before

MAX_ENUMERATED = 7
"""Largest K for which every order is evaluated for every matrix."""

MAX_SUBSET_BATCH = 14
"""Largest K for dynamic programming over subsets; insertion search above."""

CHUNK_VALUES = 1 << 22
"""Numbers in the largest working array; limits memory."""


def batch_size(size: int, wanted: int) -> int:
    """Return how many matrices of ``size`` tasks are solved in about a second, at most ``wanted``."""
    if size <= 8:
        return wanted
    if size <= MAX_SUBSET_BATCH:
        return min(wanted, max(200, (1 << 26) // (size << (size - 1))))
    return min(wanted, 200 if size <= 30 else 50)


def best_orders(matrices: FloatArray, start: Order) -> IntArray:
    """Return the best order of each matrix.

    Args:
        matrices: [B, K, K].
        start: initial order of the search for K above 14.

    Returns:
        [B, K]; optimal for K <= 14, local optima above.
    """
    size = matrices.shape[1]
    if size <= MAX_ENUMERATED:
        return _by_enumeration(matrices)
    if size <= MAX_SUBSET_BATCH:
        step = max(1, CHUNK_VALUES // (size << size))
        chunks = [_by_subsets(matrices[at : at + step]) for at in range(0, len(matrices), step)]
        return np.concatenate(chunks)
    return np.array([insertion_search(matrix, start) for matrix in matrices], dtype=np.int64)


def _by_enumeration(matrices: FloatArray) -> IntArray:
    """Evaluate every order: as 0/1 vectors over pairs, all values are one matrix product."""
    size = matrices.shape[1]
    orders = all_orders(size)
    first, second = np.triu_indices(size, k=1)
    features = is_before(orders)[:, first, second].astype(np.float64)
    gains = (matrices[:, first, second] - matrices[:, second, first]).T
    step = max(1, CHUNK_VALUES // len(orders))
    best = [np.argmax(features @ gains[:, at : at + step], axis=0) for at in range(0, gains.shape[1], step)]
    return np.asarray(orders[np.concatenate(best)], dtype=np.int64)


def _by_subsets(matrices: FloatArray) -> IntArray:
    """Solve all subsets of all matrices, then read off the orders from the first task to the last."""
    count, size, _ = matrices.shape
    matrices = np.array(matrices)
    matrices[:, np.arange(size), np.arange(size)] = 0.0
    row_sums, best = solve_subsets(matrices)
    every, tasks = np.arange(count), np.arange(size)
    remaining = np.full(count, (1 << size) - 1)
    orders = np.zeros((count, size), dtype=np.int64)
    for place in range(size):
        rest = remaining & ~(1 << tasks[:, None])
        values = best[rest, every] + row_sums[tasks[:, None], rest, every]
        values[rest == remaining] = -np.inf
        orders[:, place] = values.argmax(axis=0)
        remaining ^= 1 << orders[:, place]
    return orders
