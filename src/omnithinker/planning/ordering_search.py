"""Heuristics for linear ordering with hundreds of tasks: insertion search, iterated and recombined.

For a task at position p, with a_r = matrix[task, order[r]] - matrix[order[r], task] and C_t the sum of a_r over r < t,
moving it to slot t changes the objective by C_p - C_t. So the best slot of a task is the minimum of a running sum:
one pass over its row.
"""

from __future__ import annotations

import time

import numpy as np

from omnithinker.planning.accuracies import FloatArray
from omnithinker.planning.ordering import Order, order_value
from omnithinker.planning.terminal_accuracy import IntArray

POPULATION = 12
"""Local optima kept for recombination."""


def insertion_search(matrix: FloatArray, order: Order) -> Order:
    """Move single tasks to their best slot until no move helps.

    Args:
        matrix: [K, K] to maximise over pairs in sequence; the diagonal does not count.
        order: where to start.

    Returns:
        A local optimum, at least as good as ``order``.
    """
    skew = matrix - matrix.T
    found = _descend(skew, np.array(order, dtype=np.int64), _tolerance(skew))
    return tuple(int(k) for k in found)


def _tolerance(skew: FloatArray) -> float:
    """Gains below this are rounding; without it equal slots could be exchanged for ever."""
    return 1e-12 * max(float(np.abs(skew).sum(axis=1).max(initial=0.0)), 1e-300)


def _descend(skew: FloatArray, order: IntArray, tolerance: float) -> IntArray:
    """Sweep over the tasks until a whole sweep moves nothing."""
    size = len(order)
    sums = np.zeros(size + 1)
    order = order.copy()
    still = 0
    while still < size:
        for task in order.copy():
            np.cumsum(skew[task].take(order), out=sums[1:])
            place = int((order == task).argmax())
            slot = int(sums.argmin())
            if sums[place] - sums[slot] > tolerance:
                _move(order, place, slot)
                still = 0
            else:
                still += 1
                if still >= size:
                    break
    return order


def _move(order: IntArray, place: int, slot: int) -> None:
    """Take the task at ``place`` and put it before whatever stands at ``slot`` (size: at the end)."""
    task = order[place]
    if slot <= place:
        order[slot + 1 : place + 1] = order[slot:place].copy()
        order[slot] = task
    else:
        order[place : slot - 1] = order[place + 1 : slot].copy()
        order[slot - 1] = task


def search_order(
    matrix: FloatArray, *, time_limit: float, seed: int = 0, max_rounds: int | None = None, bound: float = np.inf
) -> Order:
    """A good order for any K: a small population of local optima, perturbed and recombined.

    Args:
        matrix: [K, K]; the diagonal does not count.
        time_limit: seconds.
        seed: of the random choices; the result also depends on how many rounds fit the time.
        max_rounds: stop after this many rounds even if time is left, for results that do not depend on speed.
        bound: stop as soon as this value is reached.
    """
    rng = np.random.default_rng(seed)
    deadline = time.perf_counter() + time_limit
    skew = matrix - matrix.T
    tolerance = _tolerance(skew)
    population = [_descend(skew, np.argsort(-skew.sum(axis=1), kind="stable"), tolerance)]
    values = [order_value(matrix, population[0].tolist())]
    rounds = 0
    while time.perf_counter() < deadline and (max_rounds is None or rounds < max_rounds) and max(values) < bound:
        rounds += 1
        child = _descend(skew, _offspring(population, values, rng), tolerance)
        _admit(population, values, child, order_value(matrix, child.tolist()))
    return tuple(int(k) for k in population[int(np.argmax(values))])


def _offspring(population: list[IntArray], values: list[float], rng: np.random.Generator) -> IntArray:
    """A new starting point: by recombining two of the population, or by disturbing a good one."""
    size = len(population[0])
    if len(population) < POPULATION // 2:
        return _disturb(population[0], max(2, size // 4), rng)
    if rng.random() < 0.3:
        first, second = rng.choice(len(population), 2, replace=False)
        return _recombine(population[first], population[second], rng)
    # The better of two random members.
    first, second = rng.integers(len(population), size=2)
    parent = population[first if values[first] >= values[second] else second]
    return _disturb(parent, int(rng.integers(2, max(3, size // 20) + 1)), rng)


def _disturb(order: IntArray, moves: int, rng: np.random.Generator) -> IntArray:
    found = order.copy()
    for place, slot in rng.integers(len(order), size=(moves, 2)):
        _move(found, int(place), int(slot))
    return found


def _recombine(first: IntArray, second: IntArray, rng: np.random.Generator) -> IntArray:
    """Sort by a random mixture of the positions in both parents: what they agree on stays."""
    share = rng.random(len(first))
    position = share * np.argsort(first) + (1 - share) * np.argsort(second)
    return np.argsort(position, kind="stable")


def _admit(population: list[IntArray], values: list[float], child: IntArray, value: float) -> None:
    """Keep distinct local optima; a new one replaces the worst."""
    if any(value == other and np.array_equal(child, member) for other, member in zip(values, population, strict=True)):
        return
    if len(population) < POPULATION:
        population.append(child)
        values.append(value)
        return
    worst = int(np.argmin(values))
    if value > values[worst]:
        population[worst], values[worst] = child, value
