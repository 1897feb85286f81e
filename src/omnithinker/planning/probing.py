"""Cheap probing: how early in the single-task runs the order was already what it is at their end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from omnithinker.planning.accuracies import Accuracies, FloatArray
from omnithinker.planning.ordering import Order, order_value
from omnithinker.planning.transfer import accuracy_floor, backward_transfer

Solver = Callable[[FloatArray], Order]
"""From an ordering matrix [K, K] to its best order."""


@dataclass(frozen=True, slots=True)
class ProbedOrder:
    """What would have been planned at one point of the single-task runs."""

    fraction: float
    """Share of the training done."""
    order: tuple[str, ...]
    """[K] the order planned from the accuracies measured then."""
    regret: float
    """Objective lost by that order on the final transfer matrix (nats, never negative)."""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """When the order was settled."""

    orders: tuple[ProbedOrder, ...]
    """By rising fraction."""
    settled_at: float
    """Smallest fraction from which on every probe gives the final order; 1 when only the full runs do."""
    shorten: Mapping[str, float]
    """Task -> smallest fraction to which its single-task run alone could have been cut, at any later probe too,
    without changing the order; tasks whose run could not are left out."""


def report_probes(
    source: Accuracies, weights: FloatArray, final: FloatArray, chosen: Order, solver: Solver
) -> ProbeReport:
    """Plan again at every probe, and with each run shortened on its own.

    Args:
        source: accuracies with at least one probe.
        weights: [K] alpha.
        final: [K, K] ordering matrix of the full runs.
        chosen: its best order.
        solver: how to order a matrix.
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
    """Smallest fraction from which on all are the same; 1 when not even the last one is."""
    settled = 1.0
    for fraction, equal in zip(reversed(fractions), reversed(same), strict=True):
        if not equal:
            break
        settled = fraction
    return settled


def probe_sentence(report: ProbeReport) -> str:
    """When the order was settled, and which runs could have been shorter, in one sentence."""
    if report.settled_at < 1:
        sentence = f"the order was already settled at {report.settled_at:.0%} of the single-task runs"
    else:
        last = report.orders[-1]
        sentence = (
            f"the order was not settled before the end of the single-task runs (at {last.fraction:.0%}: "
            f"{' > '.join(last.order)}, {last.regret:.4f} nats worse)"
        )
    if report.shorten:
        runs = ", ".join(f"{task} to {fraction:.0%}" for task, fraction in report.shorten.items())
        sentence += f"; for the order alone, each of these runs could have been cut on its own: {runs}"
    return sentence
