"""Choice of the ordering method by the number of tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnithinker.planning.accuracies import FloatArray
from omnithinker.planning.ordering import MAX_SUBSET_TASKS, Order, all_orders, order_value, subset_values
from omnithinker.planning.ordering_milp import certified_order
from omnithinker.planning.ordering_search import search_order

MAX_ENUMERATED_TASKS = 7
"""Largest K for which every order is listed."""

MAX_PROVEN_TASKS = 100
"""Largest K for which a proof is attempted; the linear programs of larger K take too long."""

RANKING_LENGTH = 100
"""Orders listed for larger K."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Best known orders of a matrix."""

    orders: tuple[Order, ...]
    """Best first: all K! for K <= 7, the best 100 for K <= 20, otherwise the best one and its neighbours."""
    method: str
    """``subset-dp``, ``milp`` or ``search``."""
    bound: float
    """Proven upper bound of the objective."""


def solve(matrix: FloatArray, *, time_limit: float = 10.0, seed: int = 0) -> Solution:
    """Find the best orders of a matrix.

    Args:
        matrix: [K, K], alpha_i BWT_ij; the diagonal is ignored.
        time_limit: seconds, for K above 20.
        seed: seed of the heuristics, for K above 20.
    """
    size = len(matrix)
    if size <= MAX_ENUMERATED_TASKS:
        orders = all_orders(size)
        values = np.array([order_value(matrix, order) for order in orders])
        # Rounded, so that orders of equal value keep the sequence of the input.
        ranked = [tuple(int(k) for k in orders[m]) for m in np.argsort(-np.round(values, 12), kind="stable")]
        return Solution(tuple(ranked), "subset-dp", order_value(matrix, ranked[0]))
    if size <= MAX_SUBSET_TASKS:
        best = subset_values(matrix).orders(RANKING_LENGTH)
        return Solution(tuple(best), "subset-dp", order_value(matrix, best[0]))
    if size > MAX_PROVEN_TASKS:
        order = search_order(matrix, time_limit=time_limit, seed=seed)
        return Solution(neighbours(matrix, order), "search", pair_bound(matrix))
    start = search_order(matrix, time_limit=min(1.0, time_limit / 4), seed=seed, max_rounds=200)
    certified = certified_order(matrix, start, time_limit=0.75 * time_limit)
    return Solution(neighbours(matrix, certified.order), "milp", certified.bound)


def pair_bound(matrix: FloatArray) -> float:
    """Return the objective with every pair in its better sequence, an upper bound."""
    return float(np.triu(np.maximum(matrix, matrix.T), k=1).sum())


def neighbours(matrix: FloatArray, order: Order, count: int = RANKING_LENGTH) -> tuple[Order, ...]:
    """Return ``order`` and the best orders one insertion away from it, best first, distinct."""
    skew = matrix - matrix.T
    size = len(order)
    sums = np.zeros((size, size + 1))
    np.cumsum(skew[np.ix_(order, order)], axis=1, out=sums[:, 1:])
    gains = np.diagonal(sums)[:, None] - sums
    # Slots p and p + 1 leave a task in place; a move by one to the front equals the neighbour's move to the back.
    for place in range(size):
        gains[place, place : place + 2] = -np.inf
        if place:
            gains[place, place - 1] = -np.inf
    orders = [order]
    for flat in np.argsort(-gains, axis=None, kind="stable")[: count - 1]:
        place, slot = divmod(int(flat), size + 1)
        if gains[place, slot] > -np.inf:
            rest = [task for task in order if task != order[place]]
            rest.insert(slot if slot < place else slot - 1, order[place])
            orders.append(tuple(rest))
    return tuple(orders)
