"""Quality and time of task-ordering methods on generated instances. Prints a markdown table.

    python benchmarks/ordering.py [--time-limit 10]

The instance families follow the linear ordering literature: uniform numbers (RandA), numbers with one side of each pair
zero (RandB-like tournaments), Paley matrices (many optima, weak bounds), and input-output-like tables (a hidden order,
skewed sizes, many zeros). For each method the table has the gap to the best value of all methods, as a fraction of the
distance from best to worst order, and the CPU time. The time limit is wall-clock time.
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
    """Return a table of log-normal sizes with 40% zeros and one triangle five times smaller, in a hidden order."""
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
    """Return value and CPU seconds of each method, and the proven upper bound."""
    size = len(matrix)
    results: dict[str, tuple[float, float]] = {}
    bound = np.inf

    def plan() -> tuple[int, ...]:
        nonlocal bound
        solution = solve(matrix, time_limit=time_limit)
        bound = solution.bound
        return solution.orders[0]

    methods: dict[str, Callable[[], tuple[int, ...]]] = {
        "greedy": lambda: greedy_order(matrix),
        "forgettability": lambda: forgettability_order(matrix),
        "plan": plan,
    }
    if size <= 100:
        identity = tuple(range(size))
        methods["HiGHS alone"] = lambda: certified_order(matrix, identity, time_limit=time_limit).order
    if size <= 20:
        methods["subsets alone"] = lambda: exact_order(matrix)
    for name, method in methods.items():
        order, seconds = timed(method)
        results[name] = (order_value(matrix, order), seconds)
    return results, bound


def gap(results: dict[str, tuple[float, float]], name: str, total: float) -> float:
    """Return the gap to the best value as a fraction of best minus worst; the values themselves may be near zero."""
    best = max(value for value, _ in results.values())
    # The values of an order and its reverse sum to the total, so the worst value is total - best.
    return (best - results[name][0]) / (2 * best - total)


def rows(time_limit: float) -> Iterator[str]:
    columns = ("greedy", "forgettability", "HiGHS alone", "plan")
    yield "| instances | K | " + " | ".join(columns) + " | proven |"
    yield "| --- | ---: | " + " | ".join("---:" for _ in columns) + " | ---: |"
    for family, make, sizes, count in INSTANCES:
        for size in sizes:
            matrices = [make(size, seed) for seed in range(count)]
            comparisons = [(*compare(matrix, time_limit), matrix.sum() - np.trace(matrix)) for matrix in matrices]
            cells = []
            for name in columns:
                gaps = [gap(results, name, total) for results, _, total in comparisons if name in results]
                times = [results[name][1] for results, _, _ in comparisons if name in results]
                cells.append(f"{np.mean(gaps):.2%}, {np.mean(times):.2g} s" if gaps else "-")
            proven = sum(bound <= results["plan"][0] * (1 + 1e-9) for results, bound, _ in comparisons)
            yield f"| {family} | {size} | " + " | ".join(cells) + f" | {proven} of {count} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds per instance (default 10)")
    for row in rows(parser.parse_args().time_limit):
        print(row, flush=True)


if __name__ == "__main__":
    main()
