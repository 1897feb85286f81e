"""Quality and time of task ordering on generated instances; prints one markdown table.

Families as in the linear ordering literature: uniform numbers (RandA), numbers of which one side of each pair is zero
(RandB-like tournaments), Paley matrices (many optima, weak bounds), and input-output-like tables (a hidden order,
skewed sizes, many zeros). Columns: how far each method ends below the best value of all methods here, as a
share of the distance to the worst order, and its processor time (the limit is in wall-clock time).

Run: ``python benchmarks/ordering.py [--time-limit 10]``.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np

from omnithinker.planning import exact_order, forgettability_order, greedy_order, order_value, solve
from omnithinker.planning.ordering_milp import certified_order

Matrix = np.ndarray


def uniform(size: int, seed: int) -> Matrix:
    return np.random.default_rng(seed).integers(0, 101, size=(size, size)).astype(float)


def one_sided(size: int, seed: int) -> Matrix:
    rng = np.random.default_rng(seed)
    first = rng.random((size, size)) < 0.5
    keep = np.triu(first, 1) | np.tril(~first.T, -1)
    return uniform(size, seed + 1000) * keep


def paley(size: int, _seed: int) -> Matrix:
    squares = {x * x % size for x in range(1, size)}
    return np.array([[float((j - i) % size in squares) for j in range(size)] for i in range(size)])


def input_output(size: int, seed: int) -> Matrix:
    """Log-normal sizes, 40 % zeros, and one half of the table five times smaller than the other."""
    rng = np.random.default_rng(seed)
    table = np.floor(np.exp(rng.normal(3, 2, size=(size, size)))) * (rng.random((size, size)) < 0.6)
    table *= np.where(np.triu(np.ones((size, size)), 1) > 0, 1.0, 0.2)
    hidden = rng.permutation(size)
    return np.floor(table[np.ix_(hidden, hidden)])


INSTANCES: list[tuple[str, Callable[[int, int], Matrix], tuple[int, ...], int]] = [
    (
        "transfer-like",
        lambda size, seed: np.random.default_rng(seed).normal(-0.02, 0.1, size=(size, size)),
        (4, 8, 20),
        3,
    ),
    ("Paley", paley, (11, 19, 31), 1),
    ("input-output", input_output, (44, 60, 79), 2),
    ("uniform", uniform, (40, 150, 250, 500), 1),
    ("one-sided", one_sided, (40, 100), 1),
]


def timed(method: Callable[[], tuple[int, ...]]) -> tuple[tuple[int, ...], float]:
    start = time.process_time()
    order = method()
    return order, time.process_time() - start


def compare(matrix: Matrix, time_limit: float) -> tuple[dict[str, tuple[float, float]], float]:
    """Value and seconds per method, and the proven bound."""
    size = len(matrix)
    found: dict[str, tuple[float, float]] = {}
    bound = np.inf

    def planned() -> tuple[int, ...]:
        nonlocal bound
        solution = solve(matrix, time_limit=time_limit)
        bound = solution.bound
        return solution.orders[0]

    methods: dict[str, Callable[[], tuple[int, ...]]] = {
        "greedy": lambda: greedy_order(matrix),
        "forgettability": lambda: forgettability_order(matrix),
        "plan": planned,
    }
    if size <= 100:
        identity = tuple(range(size))
        methods["HiGHS alone"] = lambda: certified_order(matrix, identity, time_limit=time_limit).order
    if size <= 20:
        methods["subsets alone"] = lambda: exact_order(matrix)
    for name, method in methods.items():
        order, seconds = timed(method)
        found[name] = (order_value(matrix, order), seconds)
    return found, bound


def loss(found: dict[str, tuple[float, float]], name: str, total: float) -> float:
    """Share of the way from the best order down to the worst: values as such may lie near zero."""
    best = max(value for value, _ in found.values())
    # An order and its reverse add up to the total, so the worst value is what the best leaves of it.
    return (best - found[name][0]) / (2 * best - total)


def rows(time_limit: float) -> Iterator[str]:
    columns = ("greedy", "forgettability", "HiGHS alone", "plan")
    yield "| instances | K | " + " | ".join(columns) + " | proven |"
    yield "| --- | ---: | " + " | ".join("---:" for _ in columns) + " | ---: |"
    for family, make, sizes, count in INSTANCES:
        for size in sizes:
            matrices = [make(size, seed) for seed in range(count)]
            results = [(*compare(matrix, time_limit), matrix.sum() - np.trace(matrix)) for matrix in matrices]
            cells = []
            for name in columns:
                losses = [loss(found, name, total) for found, _, total in results if name in found]
                times = [found[name][1] for found, _, _ in results if name in found]
                cells.append(f"{np.mean(losses):.2%}, {np.mean(times):.2g} s" if losses else "-")
            proven = sum(bound <= f["plan"][0] * (1 + 1e-9) for f, bound, _ in results)
            yield f"| {family} | {size} | " + " | ".join(cells) + f" | {proven} of {count} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds per instance (default 10)")
    for row in rows(parser.parse_args().time_limit):
        print(row, flush=True)


if __name__ == "__main__":
    main()
