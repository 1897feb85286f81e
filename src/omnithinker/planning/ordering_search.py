"""Heuristics for linear ordering with hundreds of tasks: insertion search and a memetic algorithm on top of it.

Moving a task to another slot changes the objective by the difference of two running sums, so a table of the sums
gives the best of all K^2 insertions in one pass, and a move shifts a few of its rows. Offspring inherit a random half
of the places of one parent and fill the others in the sequence of the second (order-based crossover).
"""

from __future__ import annotations

import time

import numpy as np

from omnithinker.planning.accuracies import FloatArray
from omnithinker.planning.ordering import Order, order_value
from omnithinker.planning.terminal_accuracy import IntArray

POPULATION = 20
"""Local optima kept for recombination."""

PATIENCE = 80
"""Consecutive offspring without improvement before all but the best are replaced by random local optima."""


def insertion_search(matrix: FloatArray, order: Order) -> Order:
    """Apply the best insertion of a single task until none improves the objective.

    Args:
        matrix: [K, K] to maximise over pairs in sequence; the diagonal is ignored.
        order: initial order.

    Returns:
        A local optimum, at least as good as ``order``.
    """
    return tuple(int(k) for k in _InsertionTable(matrix).descend(np.array(order, dtype=np.int64)))


class _InsertionTable:
    """Running sums of one order of the tasks of a matrix."""

    def __init__(self, matrix: FloatArray) -> None:
        skew = matrix - matrix.T
        self._size = len(matrix)
        self._columns = np.ascontiguousarray(skew.T)
        # Smaller gains are rounding errors, which could exchange equal slots endlessly.
        self._tolerance = 1e-11 * max(float(np.abs(skew).sum(axis=1).max(initial=0.0)), 1e-300)
        # [K + 1, K]: row t, column e: sum over places r < t of skew[e, order[r]].
        self._sums = np.zeros((self._size + 1, self._size))

    def descend(self, start: IntArray) -> IntArray:
        """Return a local optimum reached from ``start``."""
        order = start.copy()
        place = np.argsort(order)
        np.cumsum(self._columns[order], axis=0, out=self._sums[1:])
        tasks = np.arange(self._size)
        while True:
            gains = self._sums[place, tasks] - self._sums.min(axis=0)
            task = int(gains.argmax())
            if gains[task] <= self._tolerance:
                return order
            self._move(order, place, int(place[task]), int(self._sums[:, task].argmin()))

    def _move(self, order: IntArray, place: IntArray, source: int, slot: int) -> None:
        """Move the task at ``source`` before the task at ``slot`` (K: to the end)."""
        task, sums = order[source], self._sums
        if slot <= source:
            order[slot + 1 : source + 1] = order[slot:source].copy()
            order[slot] = task
            sums[slot + 1 : source + 1] = sums[slot:source] + self._columns[task]
            place[order[slot : source + 1]] = np.arange(slot, source + 1)
        else:
            order[source : slot - 1] = order[source + 1 : slot].copy()
            order[slot - 1] = task
            sums[source + 1 : slot] = sums[source + 2 : slot + 1] - self._columns[task]
            place[order[source:slot]] = np.arange(source, slot)


def search_order(matrix: FloatArray, *, time_limit: float, seed: int = 0, max_rounds: int | None = None) -> Order:
    """Search a good order for any K: local optima, recombined and improved again.

    Args:
        matrix: [K, K]; the diagonal is ignored.
        time_limit: seconds, after which no further round begins.
        seed: seed of the random choices; the result also depends on the number of rounds within the time limit.
        max_rounds: largest number of local optima, for results that do not depend on speed.
    """
    rng = np.random.default_rng(seed)
    deadline = time.perf_counter() + time_limit
    table = _InsertionTable(matrix)
    population = [table.descend(np.argsort(matrix.sum(axis=0) - matrix.sum(axis=1), kind="stable"))]
    values = [order_value(matrix, population[0].tolist())]
    stale, rounds = 0, 1
    while time.perf_counter() < deadline and (max_rounds is None or rounds < max_rounds):
        rounds += 1
        if stale > PATIENCE:
            best = int(np.argmax(values))
            population, values, stale = [population[best]], [values[best]], 0
        if len(population) < POPULATION:
            population.append(table.descend(rng.permutation(len(matrix))))
            values.append(order_value(matrix, population[-1].tolist()))
            continue
        first, second = rng.choice(POPULATION, 2, replace=False)
        child = table.descend(_recombine(population[first], population[second], rng))
        value, worst = order_value(matrix, child.tolist()), int(np.argmin(values))
        # An equal value is most likely the same order, which would narrow the population.
        if value > values[worst] and value not in values:
            population[worst], values[worst], stale = child, value, 0
        else:
            stale += 1
    return tuple(int(k) for k in population[int(np.argmax(values))])


def _recombine(first: IntArray, second: IntArray, rng: np.random.Generator) -> IntArray:
    """Apply order-based crossover: half of the places keep the first parent's task, the rest the second's order."""
    free = rng.random(len(first)) < 0.5
    moved = np.zeros(len(first), dtype=np.bool_)
    moved[first[free]] = True
    child = first.copy()
    child[free] = second[moved[second]]
    return child
