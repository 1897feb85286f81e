"""From accuracies or a matrix to a plan: ``make_plan`` is the entry point of this package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from omnithinker.errors import PlanError
from omnithinker.planning.accuracies import Accuracies, FloatArray, TransferMatrix
from omnithinker.planning.ordering import (
    MAX_SUBSET_TASKS,
    Order,
    all_orders,
    forgettability_order,
    greedy_order,
    order_value,
    subset_values,
)
from omnithinker.planning.terminal_accuracy import delta_rel, log_terminal_accuracies
from omnithinker.planning.transfer import ASSUMED_ITEMS, accuracy_floor, backward_transfer

Method = Literal["exact", "greedy", "forgettability"]
"""How the order is chosen; ``exact`` proves it where it can and says where it could not."""

MAX_ENUMERATED_TASKS = 7
"""Up to this many tasks every order is listed."""

RANKING_LENGTH = 100
"""Orders listed beyond that."""


@dataclass(frozen=True, slots=True)
class RankedOrder:
    """One order with what it is predicted to give."""

    order: tuple[str, ...]
    """[K] task names, first trained first."""
    objective: float
    """Sum of alpha_i BWT_ij over pairs with i before j (nats)."""
    predicted: FloatArray | None
    """[K] predicted accuracies in the order of ``Plan.tasks``; None for a bare matrix."""
    delta_rel: float | None
    """Eq. 14 (nats); None for a bare matrix."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The chosen order and what speaks for it."""

    tasks: tuple[str, ...]
    """[K] names, in the order of the input."""
    bwt: FloatArray
    """[K, K] transfer, rows evaluated, columns trained (nats)."""
    base: FloatArray | None
    """[K] accuracies before training; None for a bare matrix."""
    self_accuracy: FloatArray | None
    """[K] accuracy of each task after its own single-task run; None for a bare matrix."""
    weights: FloatArray
    """[K] alpha_i of Eq. 10."""
    best: RankedOrder
    """The chosen order."""
    method: str
    """``subset-dp``, ``milp``, ``search``, ``greedy`` or ``forgettability``."""
    optimal: bool | None
    """True: proven; False: not proven (or known not to be); None: the method makes no claim."""
    bound: float | None
    """Proven upper bound of the objective; None when there is none."""
    ranking: tuple[RankedOrder, ...]
    """Every order when K <= 7, else the best 100 (beyond K = 20: the best ones met)."""
    greedy: tuple[str, ...]
    """Algorithm 2 with row sums."""
    forgettability: tuple[str, ...]
    """Tasks by falling row sum."""
    warnings: tuple[str, ...]
    """What a reader must know before trusting the numbers."""

    @property
    def order(self) -> tuple[str, ...]:
        """[K] the chosen order, first trained first."""
        return self.best.order

    @property
    def worst(self) -> tuple[str, ...]:
        """The worst order; always an optimal order reversed, since the two values add up to a constant."""
        return tuple(reversed(self.ranking[0].order))

    @property
    def gap(self) -> float | None:
        """How far above the objective the bound lies, relative to the bound; None without a bound."""
        if self.bound is None:
            return None
        return max(0.0, self.bound - self.best.objective) / max(abs(self.bound), 1e-12)


def make_plan(
    source: Accuracies | TransferMatrix,
    *,
    weights: Mapping[str, float] | None = None,
    method: Method = "exact",
) -> Plan:
    """Choose the order in which to train the tasks and predict where it ends.

    Args:
        source: from ``read_accuracies``, ``accuracies_from_dict``, ``read_matrix`` or built directly.
        weights: alpha per task (Eq. 10); tasks not named weigh 1.
        method: ``exact``, or one of the paper's heuristics.

    Raises:
        PlanError: a weight names an unknown task or is not a positive number.
    """
    alpha = _weights(source.tasks, weights or {})
    warnings: list[str] = []
    if isinstance(source, Accuracies):
        floor = accuracy_floor(source.n, len(source.tasks))
        warnings += _floor_warnings(source, floor)
        bwt = backward_transfer(source.base, source.after, floor)
        base = np.maximum(source.base, floor)
        self_accuracy = np.maximum(np.diag(source.after), floor)
    else:
        bwt, base, self_accuracy = source.bwt, None, None
    matrix = alpha[:, None] * bwt
    ranked, solved_by, bound = _solve(matrix)
    chosen = {"exact": ranked[0], "greedy": greedy_order(matrix), "forgettability": forgettability_order(matrix)}
    ranking = tuple(_ranked(order, source.tasks, matrix, bwt, base, self_accuracy) for order in ranked)
    best = _ranked(chosen[method], source.tasks, matrix, bwt, base, self_accuracy)
    proven = bound is not None and best.objective >= bound - 1e-9 * max(1.0, abs(bound))
    plan = Plan(
        tasks=source.tasks,
        bwt=bwt,
        base=base,
        self_accuracy=self_accuracy,
        weights=alpha,
        best=best,
        method=solved_by if method == "exact" else method,
        optimal=proven if bound is not None or method == "exact" else None,
        bound=bound,
        ranking=ranking,
        greedy=_names(chosen["greedy"], source.tasks),
        forgettability=_names(chosen["forgettability"], source.tasks),
        warnings=(),
    )
    warnings += _prediction_warnings(plan)
    return _with_warnings(plan, warnings)


def _with_warnings(plan: Plan, warnings: list[str]) -> Plan:
    from dataclasses import replace

    return replace(plan, warnings=tuple(warnings))


def _solve(matrix: FloatArray) -> tuple[list[Order], str, float | None]:
    """Best orders, best first; how they were found; the proven bound."""
    size = len(matrix)
    if size <= MAX_ENUMERATED_TASKS:
        orders = all_orders(size)
        values = np.array([order_value(matrix, order) for order in orders])
        # Rounding makes equal values comparable: among equals the order that keeps the input's sequence comes first.
        ranked = [tuple(int(k) for k in orders[m]) for m in np.argsort(-np.round(values, 12), kind="stable")]
        return ranked, "subset-dp", order_value(matrix, ranked[0])
    if size <= MAX_SUBSET_TASKS:
        ranked = subset_values(matrix).orders(RANKING_LENGTH)
        return ranked, "subset-dp", order_value(matrix, ranked[0])
    raise PlanError(f"{size} tasks: at most {MAX_SUBSET_TASKS} can be ordered")


def _names(order: Order, tasks: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(tasks[k] for k in order)


def _ranked(
    order: Order,
    tasks: tuple[str, ...],
    matrix: FloatArray,
    bwt: FloatArray,
    base: FloatArray | None,
    self_accuracy: FloatArray | None,
) -> RankedOrder:
    objective = order_value(matrix, order)
    if base is None or self_accuracy is None:
        return RankedOrder(_names(order, tasks), objective, None, None)
    logs = log_terminal_accuracies(self_accuracy, bwt, np.array([order], dtype=np.int64))[0]
    return RankedOrder(_names(order, tasks), objective, np.exp(logs), float(delta_rel(logs, base)))


def _weights(tasks: tuple[str, ...], weights: Mapping[str, float]) -> FloatArray:
    for name, value in weights.items():
        if name not in tasks:
            raise PlanError(f'weight: "{name}" is not one of the tasks {", ".join(tasks)}')
        if not (math.isfinite(value) and value > 0):
            raise PlanError(f'weight: "{name}" has weight {value:g}; weights are positive numbers')
    return np.array([float(weights.get(task, 1.0)) for task in tasks])


def _floor_warnings(source: Accuracies, floor: FloatArray) -> list[str]:
    """Where an accuracy was too small for its logarithm to mean anything."""
    table = np.column_stack([source.base, source.after])
    models = ["base", *(f"after {task}" for task in source.tasks)]
    found = []
    for i, m in zip(*np.nonzero(table < floor[:, None]), strict=True):
        basis = (
            f"1/(2 x {source.n[i]} items)"
            if source.n is not None
            else (f"1/(2 x {ASSUMED_ITEMS}), as if there were {ASSUMED_ITEMS} test items: give n")
        )
        found.append(
            f"accuracy {table[i, m]:g} on {source.tasks[i]} ({models[m]}) was raised to {floor[i]:.3g} = {basis}; "
            "its transfer is a guess"
        )
    return found


def _prediction_warnings(plan: Plan) -> list[str]:
    if plan.best.predicted is None:
        return []
    above = [f"{t} {p:.3f}" for t, p in zip(plan.tasks, plan.best.predicted, strict=True) if p > 1]
    if not above:
        return []
    return [f"predicted accuracy above 1 ({', '.join(above)}): transfer cannot stay constant here (Eq. 7 fails)"]
