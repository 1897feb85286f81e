"""Cost of planning and of trying all orders, in single-task trainings."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_COUNTED_TASKS = 20
"""Largest K for which the cost of all orders is computed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Numbers of single-task trainings: one pass over the data of one task."""

    planning: int
    """K, one single-task run per task."""
    all_orders: int | None
    """K! curricula of K trainings each; None for K > 20."""
    all_orders_shared: int | None
    """Same if curricula with a common beginning share checkpoints: sum over k of K! / (K - k)!; None for K > 20."""


def planning_cost(size: int) -> Cost:
    """Compute the cost for ``size`` tasks."""
    if size > MAX_COUNTED_TASKS:
        return Cost(size, None, None)
    shared = sum(math.perm(size, k) for k in range(1, size + 1))
    return Cost(size, size * math.factorial(size), shared)


def cost_sentence(cost: Cost) -> str:
    """Describe the cost in one sentence."""
    if cost.all_orders is None or cost.all_orders_shared is None:
        return f"cost: {cost.planning} single-task trainings; trying all orders is infeasible"
    return (
        f"cost: {cost.planning} single-task trainings; trying all orders takes {cost.all_orders:,} "
        f"({cost.all_orders_shared:,} if curricula with a common beginning share checkpoints)"
    )
