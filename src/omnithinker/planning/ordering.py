"""The linear ordering problem: maximise the sum of ``matrix[i, j]`` over all pairs with i before j (Eq. 9-10).

``matrix[i, j]`` is alpha_i BWT_ij, the gain of task i when task j is trained after it. The diagonal is ignored. Exact
for K <= 20 by dynamic programming over subsets. The paper's heuristics use *row* sums here: Algorithm 2 and F_k are
printed with column sums, which choose the worst of the 24 orders of the paper's Table 4, while row sums ("least
forgettable first") give the order that the paper reports.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnithinker.planning.accuracies import FloatArray
from omnithinker.planning.terminal_accuracy import IntArray

Order = tuple[int, ...]
"""Task indices, first trained first."""

MAX_SUBSET_TASKS = 20
"""Largest K for dynamic programming over subsets: 2^K values of 8 bytes, K 2^(K-1) steps."""


def order_value(matrix: FloatArray, order: Sequence[int]) -> float:
    """Return the sum of ``matrix[i, j]`` over all pairs with i before j."""
    index = np.asarray(order)
    return float(np.triu(matrix[np.ix_(index, index)], k=1).sum())


def all_orders(size: int) -> IntArray:
    """Return [K!, K] every order in lexicographic sequence; meant for K <= 7."""
    return np.array(list(itertools.permutations(range(size))), dtype=np.int64)


def greedy_order(matrix: FloatArray) -> Order:
    """Return the order of Algorithm 2 with row sums: the task that the remaining ones hurt least is next.

    Ties are broken by the order of the input.
    """
    matrix = matrix - np.diag(np.diag(matrix))
    remaining = np.arange(len(matrix))
    order: list[int] = []
    while len(remaining):
        best = int(matrix[np.ix_(remaining, remaining)].sum(axis=1).argmax())
        order.append(int(remaining[best]))
        remaining = np.delete(remaining, best)
    return tuple(order)


def forgettability_order(matrix: FloatArray) -> Order:
    """Sort tasks by falling row sum F_k = alpha_k sum_j BWT_kj: from least to most forgettable (stable)."""
    sums = matrix.sum(axis=1) - np.diag(matrix)
    return tuple(int(k) for k in np.argsort(-sums, kind="stable"))


@dataclass(frozen=True, slots=True)
class SubsetValues:
    """Result of the dynamic program; lists the optimal, second best ... orders."""

    matrix: FloatArray
    """[K, K] with a zero diagonal."""
    best: FloatArray
    """[2^K] best objective of the tasks whose bits are set."""

    def orders(self, count: int) -> list[Order]:
        """Return the ``count`` best orders (fewer if K! is smaller), best first; proven.

        A best-first search with an exact estimate of the remaining value, so it expands little more than it lists.
        """
        size = len(self.matrix)
        full = (1 << size) - 1
        heap: list[tuple[float, int, Order, int, float]] = [(-float(self.best[full]), 0, (), full, 0.0)]
        orders: list[Order] = []
        while heap and len(orders) < count:
            _, _, prefix, remaining, value = heapq.heappop(heap)
            if not remaining:
                orders.append(prefix)
                continue
            for k in _members(remaining):
                rest = remaining ^ (1 << k)
                gained = value + float(self.matrix[k, list(_members(rest))].sum())
                # Among equal values the longer prefix comes first, so that complete orders are listed at once.
                heapq.heappush(heap, (-(gained + float(self.best[rest])), -len(prefix), (*prefix, k), rest, gained))
        return orders


def _members(subset: int) -> list[int]:
    return [k for k in range(subset.bit_length()) if subset >> k & 1]


def subset_values(matrix: FloatArray) -> SubsetValues:
    """Solve every subset: best[S] = max over its first task k of best[S - k] + sum_{j in S - k} matrix[k, j].

    Args:
        matrix: [K, K] with K <= 20.

    Raises:
        ValueError: if K is above 20.
    """
    size = len(matrix)
    if size > MAX_SUBSET_TASKS:
        raise ValueError(f"dynamic programming over subsets is for at most {MAX_SUBSET_TASKS} tasks, not {size}")
    matrix = np.array(matrix, dtype=np.float64)
    np.fill_diagonal(matrix, 0.0)
    _, best = solve_subsets(matrix[None])
    return SubsetValues(matrix, best[:, 0])


def solve_subsets(matrices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Run the dynamic program of :func:`subset_values` for several matrices at once.

    Args:
        matrices: [B, K, K] with zero diagonals.

    Returns:
        [K, 2^K, B] sum of each row over each subset, and [2^K, B] best value of each subset.
    """
    count, size, _ = matrices.shape
    row_sums = _row_sums(matrices)
    members = np.bitwise_count(np.arange(1 << size, dtype=np.int32))
    layers = np.split(np.argsort(members, kind="stable"), np.cumsum(np.bincount(members))[:-1])
    best = np.full((1 << size, count), -np.inf)
    best[0] = 0.0
    for layer in layers[1:]:
        value = np.full((len(layer), count), -np.inf)
        for k in range(size):
            # A set without k is its own rest, whose value is minus infinity until its layer is done.
            rest = layer & ~(1 << k)
            np.maximum(value, best.take(rest, axis=0) + row_sums[k].take(rest, axis=0), out=value)
        best[layer] = value
    return row_sums, best


def _row_sums(matrices: FloatArray) -> FloatArray:
    """[K, 2^K, B] sum of row k over each subset, by doubling."""
    count, size, _ = matrices.shape
    rows = np.moveaxis(matrices, 0, 2)
    sums = np.zeros((size, 1 << size, count))
    for j in range(size):
        half = 1 << j
        sums[:, half : 2 * half] = sums[:, :half] + rows[:, j, None]
    return sums


def exact_order(matrix: FloatArray) -> Order:
    """Return a proven optimal order for K <= 20.

    Raises:
        ValueError: if K is above 20.
    """
    return subset_values(matrix).orders(1)[0]
