"""What a plan costs against trying the orders out, in trainings of one task."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_COUNTED_TASKS = 20
"""Beyond this the number of orders says nothing that "hopeless" does not."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Counts of single-task trainings: one task's data, once through."""

    planning: int
    """K: one single-task run per task."""
    all_orders: int | None
    """K! curricula of K trainings each; None beyond K = 20."""
    all_orders_shared: int | None
    """The same when curricula that begin alike share checkpoints: sum over k of K! / (K - k)!; None beyond K = 20."""


def planning_cost(size: int) -> Cost:
    """Cost of planning for ``size`` tasks."""
    if size > MAX_COUNTED_TASKS:
        return Cost(size, None, None)
    shared = sum(math.perm(size, k) for k in range(1, size + 1))
    return Cost(size, size * math.factorial(size), shared)


def cost_sentence(cost: Cost) -> str:
    """The comparison in words."""
    if cost.all_orders is None or cost.all_orders_shared is None:
        return f"cost: {cost.planning} single-task trainings; trying all orders is out of reach"
    return (
        f"cost: {cost.planning} single-task trainings; trying all orders would take {cost.all_orders:,} "
        f"({cost.all_orders_shared:,} if curricula that begin alike share checkpoints)"
    )
