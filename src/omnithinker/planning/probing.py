"""Probing: how early in the single-task runs the final order was known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from omnithinker.planning.accuracies import Accuracies, FloatArray
from omnithinker.planning.ordering import Order, order_value
from omnithinker.planning.percent import percent
from omnithinker.planning.transfer import accuracy_floor, backward_transfer

Solver = Callable[[FloatArray], Order]
"""Returns the best order of an ordering matrix [K, K]."""


@dataclass(frozen=True, slots=True)
class ProbedOrder:
    """Plan from the accuracies at one point of the single-task runs."""

    fraction: float
    """Share of the training that was done."""
    order: tuple[str, ...]
    """[K] planned order."""
    regret: float
    """Loss of objective of that order under the final transfer matrix (nats, not negative)."""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Time at which the order was settled."""

    orders: tuple[ProbedOrder, ...]
    """Planned orders by rising fraction."""
    settled_at: float
    """Smallest fraction from which every probe gives the final order; 1 if only the full runs do."""
    shorten: Mapping[str, float]
    """Task -> smallest fraction at which its single-task run alone could have ended without changing the order, at this
    and every later probe. Tasks whose run was needed in full are left out."""


def report_probes(
    source: Accuracies, weights: FloatArray, final: FloatArray, chosen: Order, solver: Solver
) -> ProbeReport:
    """Plan at every probe, and with each run shortened separately.

    Args:
        source: accuracies with at least one probe.
        weights: [K] alpha.
        final: [K, K] ordering matrix of the full runs.
        chosen: its best order.
        solver: orders a matrix.
    """
    floor = accuracy_floor(source.n, len(source.tasks))
    value = order_value(final, chosen)
    matrices = [weights[:, None] * backward_transfer(source.base, probe.after, floor) for probe in source.probes]
    fractions = [probe.fraction for probe in source.probes]
    orders = [solver(matrix) for matrix in matrices]
    shorten = {}
    for column, task in enumerate(source.tasks):
        same = [solver(_with_column(final, matrix, column)) == chosen for matrix in matrices]
        fraction = _settled_from(fractions, same)
        if fraction < 1:
            shorten[task] = fraction
    return ProbeReport(
        tuple(
            ProbedOrder(fraction, tuple(source.tasks[k] for k in order), max(0.0, value - order_value(final, order)))
            for fraction, order in zip(fractions, orders, strict=True)
        ),
        _settled_from(fractions, [order == chosen for order in orders]),
        shorten,
    )


def _with_column(final: FloatArray, probed: FloatArray, column: int) -> FloatArray:
    mixed = np.array(final)
    mixed[:, column] = probed[:, column]
    return mixed


def _settled_from(fractions: list[float], same: list[bool]) -> float:
    """Smallest fraction from which all entries are True; 1 if the last one is not."""
    settled = 1.0
    for fraction, equal in zip(reversed(fractions), reversed(same), strict=True):
        if not equal:
            break
        settled = fraction
    return settled


def probe_sentence(report: ProbeReport) -> str:
    """Describe when the order was settled and which runs could have been shorter."""
    if report.settled_at < 1:
        sentence = f"the order was settled at {percent(report.settled_at)} of the single-task runs"
    else:
        last = report.orders[-1]
        sentence = (
            f"the order was not settled before the end of the single-task runs (at {percent(last.fraction)}: "
            f"{' > '.join(last.order)}, {last.regret:.4f} nats worse)"
        )
    if report.shorten:
        runs = ", ".join(f"{task} to {percent(fraction)}" for task, fraction in report.shorten.items())
        sentence += f"; for the same order, any one of these runs could have been shortened: {runs}"
    return sentence
