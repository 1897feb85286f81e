"""Optimal orders of many matrices of the same tasks at once, for resampling."""

from __future__ import annotations

import numpy as np

from omnithinker.planning.accuracies import FloatArray
from omnithinker.planning.ordering import Order, all_orders
from omnithinker.planning.ordering_search import insertion_search
from omnithinker.planning.terminal_accuracy import IntArray, is_before

MAX_ENUMERATED = 7
"""Up to this K every order is evaluated for every matrix."""

MAX_SUBSET_BATCH = 14
"""Up to this K the dynamic programme over subsets is run for all matrices at once; beyond, insertion search."""

CHUNK_VALUES = 1 << 22
"""Numbers in a working array: bounds the memory."""


def batch_size(size: int, wanted: int) -> int:
    """How many matrices of ``size`` tasks can be solved in about a second, at most ``wanted``."""
    if size <= 8:
        return wanted
    if size <= MAX_SUBSET_BATCH:
        return min(wanted, max(200, (1 << 26) // (size << (size - 1))))
    return min(wanted, 200 if size <= 30 else 50)


def best_orders(matrices: FloatArray, start: Order) -> IntArray:
    """The best order of each matrix.

    Args:
        matrices: [B, K, K].
        start: where the search starts for K above 14.

    Returns:
        [B, K]; optimal for K <= 14, local optima beyond.
    """
    size = matrices.shape[1]
    if size <= MAX_ENUMERATED:
        return _by_enumeration(matrices)
    if size <= MAX_SUBSET_BATCH:
        step = max(1, CHUNK_VALUES >> size)
        chunks = [_by_subsets(matrices[at : at + step]) for at in range(0, len(matrices), step)]
        return np.concatenate(chunks)
    return np.array([insertion_search(matrix, start) for matrix in matrices], dtype=np.int64)


def _by_enumeration(matrices: FloatArray) -> IntArray:
    """Every order as a 0/1 vector over pairs: all values are one matrix product."""
    size = matrices.shape[1]
    orders = all_orders(size)
    first, second = np.triu_indices(size, k=1)
    features = is_before(orders)[:, first, second].astype(np.float64)
    gains = (matrices[:, first, second] - matrices[:, second, first]).T
    step = max(1, CHUNK_VALUES // len(orders))
    best = [np.argmax(features @ gains[:, at : at + step], axis=0) for at in range(0, gains.shape[1], step)]
    return np.asarray(orders[np.concatenate(best)], dtype=np.int64)


def _by_subsets(matrices: FloatArray) -> IntArray:
    """``ordering.subset_values`` with one more axis; row sums come from two half tables to save memory."""
    count, size, _ = matrices.shape
    low_bits = size // 2
    rows = np.moveaxis(matrices, 0, 2).copy()
    rows[np.arange(size), np.arange(size)] = 0.0
    low, high = _subset_sums(rows[:, :low_bits]), _subset_sums(rows[:, low_bits:])
    mask = (1 << low_bits) - 1
    best = np.zeros((1 << size, count))
    choice = np.zeros((1 << size, count), dtype=np.int8)
    for subset in range(1, 1 << size):
        members = np.array([k for k in range(size) if subset >> k & 1])
        rest = subset ^ (1 << members)
        values = best[rest] + low[members, rest & mask] + high[members, rest >> low_bits]
        first = values.argmax(axis=0)
        choice[subset] = members[first]
        best[subset] = np.take_along_axis(values, first[None], axis=0)[0]
    return _backtrack(choice, size, count)


def _subset_sums(rows: FloatArray) -> FloatArray:
    """[K, 2^b, B] sums over subsets of the b columns of [K, b, B]."""
    size, bits, count = rows.shape
    sums = np.zeros((size, 1 << bits, count))
    for bit in range(bits):
        half = 1 << bit
        sums[:, half : 2 * half] = sums[:, :half] + rows[:, bit, None]
    return sums


def _backtrack(choice: np.ndarray[tuple[int, int], np.dtype[np.int8]], size: int, count: int) -> IntArray:
    remaining = np.full(count, (1 << size) - 1)
    orders = np.zeros((count, size), dtype=np.int64)
    for place in range(size):
        orders[:, place] = choice[remaining, np.arange(count)]
        remaining ^= 1 << orders[:, place]
    return orders
