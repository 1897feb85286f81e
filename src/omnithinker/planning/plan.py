"""Plans: the chosen order with predictions and confidence. ``make_plan`` is the entry point of this package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from omnithinker.errors import PlanError
from omnithinker.planning.accuracies import Accuracies, FloatArray, TransferMatrix
from omnithinker.planning.cost import Cost, planning_cost
from omnithinker.planning.ordering import Order, forgettability_order, greedy_order, order_value
from omnithinker.planning.probing import ProbeReport, report_probes
from omnithinker.planning.reading import as_source
from omnithinker.planning.solving import MAX_ENUMERATED_TASKS, solve
from omnithinker.planning.terminal_accuracy import delta_rel, log_terminal_accuracies
from omnithinker.planning.transfer import ASSUMED_ITEMS, accuracy_floor, backward_transfer
from omnithinker.planning.uncertainty import Confidence, estimate_confidence

Method = Literal["exact", "greedy", "forgettability"]
"""Method of choosing the order. ``exact`` proves optimality if it can; :attr:`Plan.optimal` tells."""


@dataclass(frozen=True, slots=True)
class RankedOrder:
    """One order with its predicted accuracies."""

    order: tuple[str, ...]
    """[K] task names, first trained first."""
    objective: float
    """Sum of alpha_i BWT_ij over all pairs with i before j (nats)."""
    predicted: FloatArray | None
    """[K] predicted accuracies in the order of ``Plan.tasks``; None for a bare matrix."""
    delta_rel: float | None
    """Eq. 14 (nats); None for a bare matrix."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The chosen order with the evidence for it."""

    tasks: tuple[str, ...]
    """[K] task names in the order of the input."""
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
    optimal: bool
    """True if the order is proven optimal; False if it is not proven, or known not to be."""
    bound: float
    """Proven upper bound of the objective."""
    ranking: tuple[RankedOrder, ...]
    """Best first: every order for K <= 7, the best 100 for K <= 20, otherwise the best and its neighbours."""
    worst_ranking: tuple[RankedOrder, ...]
    """The 100 worst orders, worst first; empty for K <= 7, where ``ranking`` ends with them."""
    greedy: tuple[str, ...]
    """[K] order of Algorithm 2 with row sums."""
    forgettability: tuple[str, ...]
    """[K] tasks by falling row sum."""
    confidence: Confidence | None
    """Confidence; None if the number of test items is unknown, or for a bare matrix."""
    probes: ProbeReport | None
    """Report on the probes; None without probes."""
    cost: Cost
    """Cost of planning and of trying all orders."""
    warnings: tuple[str, ...]
    """Reasons to doubt the numbers."""

    @property
    def order(self) -> tuple[str, ...]:
        """[K] the chosen order, first trained first."""
        return self.best.order

    @property
    def worst(self) -> tuple[str, ...]:
        """The worst order. It is an optimal order reversed, because the two objectives add up to a constant."""
        return tuple(reversed(self.ranking[0].order))

    @property
    def gap(self) -> float:
        """Distance of the objective from the bound, relative to the bound."""
        return max(0.0, self.bound - self.best.objective) / max(abs(self.bound), 1e-12)


def make_plan(
    source: Accuracies | TransferMatrix | Mapping[str, Any] | str | Path,
    *,
    weights: Mapping[str, float] | None = None,
    method: Method = "exact",
    time_limit: float = 10.0,
    resamples: int = 10_000,
    seed: int = 0,
) -> Plan:
    """Choose the order in which to train the tasks, and predict the accuracies after it.

    Args:
        source: file of accuracies, study folder, or the value of a JSON file; or an object that was read before.
        weights: alpha per task (Eq. 10); 1 by default.
        method: ``exact``, or one of the paper's heuristics.
        time_limit: seconds for ordering more than 20 tasks.
        resamples: resamples for the confidence; 0 for no confidence.
        seed: seed of resamples and heuristics.

    Raises:
        PlanError: if the accuracies are invalid, or a weight names an unknown task or is not positive.
    """
    source = as_source(source)
    alpha = _weights(source.tasks, weights or {})
    floored = _FlooredInput.of(source)
    matrix = alpha[:, None] * floored.bwt
    solution = solve(matrix, time_limit=time_limit, seed=seed)
    heuristics = {"greedy": greedy_order(matrix), "forgettability": forgettability_order(matrix)}
    chosen = heuristics.get(method, solution.orders[0])
    best = floored.rank(chosen, matrix)
    confidence, probes = None, None
    if isinstance(source, Accuracies):
        if resamples:
            confidence = estimate_confidence(source, alpha, chosen, solution.orders, resamples=resamples, seed=seed)
        if source.probes:
            probes = report_probes(
                source, alpha, matrix, solution.orders[0], lambda m: solve(m, time_limit=time_limit).orders[0]
            )
    return Plan(
        tasks=source.tasks,
        bwt=floored.bwt,
        base=floored.base,
        self_accuracy=floored.self_accuracy,
        weights=alpha,
        best=best,
        method=solution.method if method == "exact" else method,
        optimal=best.objective >= solution.bound - 1e-9 * max(1.0, abs(solution.bound)),
        bound=solution.bound,
        ranking=tuple(floored.rank(order, matrix) for order in solution.orders),
        # The objectives of an order and its reverse add up to a constant.
        worst_ranking=tuple(
            floored.rank(order[::-1], matrix) for order in solution.orders if len(order) > MAX_ENUMERATED_TASKS
        ),
        greedy=_names(heuristics["greedy"], source.tasks),
        forgettability=_names(heuristics["forgettability"], source.tasks),
        confidence=confidence,
        probes=probes,
        cost=planning_cost(len(source.tasks)),
        warnings=(*floored.warnings, *_prediction_warnings(source.tasks, best)),
    )


@dataclass(frozen=True, slots=True)
class _FlooredInput:
    """Input of a plan with accuracies floored."""

    tasks: tuple[str, ...]
    bwt: FloatArray
    base: FloatArray | None = None
    self_accuracy: FloatArray | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: Accuracies | TransferMatrix) -> _FlooredInput:
        if isinstance(source, TransferMatrix):
            return cls(source.tasks, source.bwt)
        floor = accuracy_floor(source.n, len(source.tasks))
        return cls(
            source.tasks,
            backward_transfer(source.base, source.after, floor),
            np.maximum(source.base, floor),
            np.maximum(np.diag(source.after), floor),
            (*_floor_warnings(source, floor), *_item_warnings(source)),
        )

    def rank(self, order: Order, matrix: FloatArray) -> RankedOrder:
        names, objective = _names(order, self.tasks), order_value(matrix, order)
        if self.base is None or self.self_accuracy is None:
            return RankedOrder(names, objective, None, None)
        logs = log_terminal_accuracies(self.self_accuracy, self.bwt, np.array([order], dtype=np.int64))[0]
        return RankedOrder(names, objective, np.exp(logs), float(delta_rel(logs, self.base)))


def _names(order: Order, tasks: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(tasks[k] for k in order)


def _weights(tasks: tuple[str, ...], weights: Mapping[str, float]) -> FloatArray:
    for name, value in weights.items():
        if name not in tasks:
            raise PlanError(f'weight: "{name}" is not a task; tasks: {", ".join(tasks)}')
        if not (math.isfinite(value) and value > 0):
            raise PlanError(f'weight: "{name}" has weight {value:g}; weights must be positive numbers')
    return np.array([float(weights.get(task, 1.0)) for task in tasks])


def _floor_warnings(source: Accuracies, floor: FloatArray) -> list[str]:
    """Warn of accuracies that are too small to have a meaningful logarithm."""
    table = np.column_stack([source.base, source.after])
    models = ["base", *(f"after {task}" for task in source.tasks)]
    warnings = []
    for i, m in zip(*np.nonzero(table < floor[:, None]), strict=True):
        basis = (
            f"1/(2 x {source.n[i]} items)"
            if source.n is not None
            else (f"1/(2 x {ASSUMED_ITEMS}), assuming {ASSUMED_ITEMS} test items; add n to the input")
        )
        warnings.append(
            f"accuracy {table[i, m]:g} on {source.tasks[i]} ({models[m]}) was raised to {floor[i]:.3g} = {basis}; "
            "its transfer is unreliable"
        )
    return warnings


def _item_warnings(source: Accuracies) -> list[str]:
    """Warn of outcomes per item whose mean differs from the accuracy."""
    warnings = []
    for i, task in enumerate(source.tasks if source.items is not None else ()):
        outcomes = (source.items or {})[task]
        means = np.nanmean(outcomes, axis=0)
        accuracies = np.array([source.base[i], *source.after[i]])
        # More than half an item cannot be rounding.
        if np.abs(means - accuracies).max() > 0.5 / len(outcomes) + 1e-9:
            warnings.append(
                f"items of {task} average {means.round(4).tolist()}, but its accuracies are "
                f"{accuracies.round(4).tolist()}; the confidence uses the items"
            )
    return warnings


def _prediction_warnings(tasks: tuple[str, ...], best: RankedOrder) -> list[str]:
    if best.predicted is None:
        return []
    above = [f"{task} {value:.3f}" for task, value in zip(tasks, best.predicted, strict=True) if value > 1]
    if not above:
        return []
    return [f"predicted accuracy above 1 ({', '.join(above)}): constant transfer (Eq. 7) does not hold here"]
