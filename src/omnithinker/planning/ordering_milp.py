"""Proven orders for dozens of tasks: linear programming with 3-dicycle cuts, then branching (SciPy's HiGHS).

A variable x_ij in [0, 1] per pair i < j is 1 if i comes before j. Orders are the 0/1 points without cycles of three:
0 <= x_ij + x_jk - x_ik <= 1 for all i < j < k. Few of these K (K - 1) (K - 2) / 3 inequalities matter, so they are
added when violated. Every solved relaxation is an upper bound.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from omnithinker.planning.accuracies import FloatArray
from omnithinker.planning.ordering import Order, order_value
from omnithinker.planning.ordering_search import insertion_search
from omnithinker.planning.terminal_accuracy import IntArray

VIOLATION = 1e-6
"""Smallest violation for which an inequality is added."""

CUTS_PER_TASK = 30
"""Largest number of inequalities added at once, divided by K."""


@dataclass(frozen=True, slots=True)
class Certified:
    """An order with a proven bound."""

    order: Order
    """Best known order."""
    bound: float
    """Proven upper bound; equals the objective of an order that is proven optimal."""


@dataclass(slots=True)
class _Relaxation:
    """Linear relaxation with the inequalities added so far."""

    skew: FloatArray
    scale: float
    constant: float
    triples: IntArray
    """[3, T] variable indices of (ij, jk, ik) for all i < j < k."""
    added: npt.NDArray[np.bool_]
    """[2, T] True if the upper (row 0) or lower (row 1) inequality of a triple is included."""
    pairs: tuple[IntArray, IntArray] = field(init=False)

    def __post_init__(self) -> None:
        self.pairs = np.triu_indices(len(self.skew), k=1)

    @property
    def objective(self) -> FloatArray:
        """[pairs] gain of i before j over j before i, scaled to about 1."""
        return np.asarray(self.skew[self.pairs] / self.scale, dtype=np.float64)

    def add_violated(self, x: FloatArray) -> int:
        """Add the most violated inequalities and return their number."""
        ij, jk, ik = self.triples
        cycle = x[ij] + x[jk] - x[ik]
        violation = np.stack([cycle - 1.0, -cycle])
        violation[self.added] = 0.0
        count = min(int((violation > VIOLATION).sum()), CUTS_PER_TASK * len(self.skew))
        if count:
            chosen = np.argpartition(-violation, count - 1, axis=None)[:count]
            self.added.reshape(-1)[chosen] = True
        return count

    def solve(self, seconds: float, *, integral: bool) -> tuple[FloatArray | None, float | None, bool]:
        """Maximise subject to the included inequalities.

        Returns:
            x [pairs] (None if none was found in time), a proven upper bound of the objective in the units of the matrix
            (None if there is none), and True if x attains that bound.
        """
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array

        upper, lower = (np.flatnonzero(side) for side in self.added)
        columns = self.triples[:, np.concatenate([upper, lower])].T.reshape(-1)
        rows = len(upper) + len(lower)
        matrix = csr_array(
            (np.tile([1.0, 1.0, -1.0], rows), columns, np.arange(0, 3 * rows + 1, 3)), shape=(rows, len(self.objective))
        )
        limits = LinearConstraint(
            matrix,
            np.where(np.arange(rows) < len(upper), -np.inf, 0.0),
            np.where(np.arange(rows) < len(upper), 1.0, np.inf),
        )
        result = milp(
            -self.objective,
            integrality=np.full(len(self.objective), int(integral)),
            bounds=Bounds(0.0, 1.0),
            constraints=limits if rows else None,
            options={"time_limit": max(seconds, 0.01), "mip_rel_gap": 0.0},
        )
        best = result.fun if result.status == 0 and not integral else result.mip_dual_bound
        bound = None if best is None or not np.isfinite(best) else self.constant - float(best) * self.scale
        return result.x, bound, result.status == 0


def certified_order(matrix: FloatArray, start: Order, *, time_limit: float) -> Certified:
    """Improve an order and prove a bound within a time limit.

    Args:
        matrix: [K, K] to maximise over pairs in sequence; the diagonal is ignored.
        start: good order from ``search_order``.
        time_limit: seconds.
    """
    deadline = time.perf_counter() + time_limit
    relaxation = _relaxation(matrix)
    best, value = start, order_value(matrix, start)
    bound = float(np.triu(np.maximum(matrix, matrix.T), k=1).sum())
    integral = False
    while (left := deadline - time.perf_counter()) > 0 and bound > value:
        x, proven, exact = relaxation.solve(left, integral=integral)
        if proven is not None:
            bound = min(bound, proven)
        if x is None:
            break
        candidate = _rounded(matrix, x)
        if order_value(matrix, candidate) > value:
            best, value = candidate, order_value(matrix, candidate)
        if not exact:
            break
        if not relaxation.add_violated(x):
            if _is_integral(x):
                # x is an order and optimal for a relaxation, so it is optimal.
                return Certified(best, value)
            integral = True
    return Certified(best, max(bound, value))


def _relaxation(matrix: FloatArray) -> _Relaxation:
    size = len(matrix)
    first, second = np.triu_indices(size, k=1)
    variable = np.zeros((size, size), dtype=np.int64)
    variable[first, second] = np.arange(len(first))
    i, j, k = (
        np.array(
            [(a, b, c) for a in range(size) for b in range(a + 1, size) for c in range(b + 1, size)], dtype=np.int64
        )
        .reshape(-1, 3)
        .T
    )
    skew = matrix - matrix.T
    return _Relaxation(
        skew,
        float(np.abs(skew).mean()) or 1.0,
        float(matrix[second, first].sum()),
        np.stack([variable[i, j], variable[j, k], variable[i, k]]),
        np.zeros((2, len(i)), dtype=np.bool_),
    )


def _is_integral(x: FloatArray) -> bool:
    return bool(np.abs(x - np.round(x)).max() < 1e-6)


def _rounded(matrix: FloatArray, x: FloatArray) -> Order:
    """Round a fractional solution: sort tasks by the number of tasks they precede, then improve by insertions."""
    size = len(matrix)
    before = np.zeros((size, size))
    first, second = np.triu_indices(size, k=1)
    before[first, second] = x
    before[second, first] = 1.0 - x
    return insertion_search(matrix, tuple(int(k) for k in np.argsort(-before.sum(axis=1), kind="stable")))
