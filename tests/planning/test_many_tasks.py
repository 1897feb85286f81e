"""Orders of more than 20 tasks: proofs, heuristics, and what is claimed of them."""

import numpy as np
import pytest

from omnithinker.planning import TransferMatrix, make_plan, order_value, solve, subset_values
from omnithinker.planning.ordering_milp import certified_order
from omnithinker.planning.ordering_search import insertion_search, search_order
from omnithinker.planning.solving import neighbours
from tests.builders.paper import paley


def ordered_with_noise(size, seed):
    """Mostly one hidden order, so that a proof is possible: entries above the diagonal tend to be larger."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(size, size)) + np.triu(np.ones((size, size)), 1)
    hidden = rng.permutation(size)
    return matrix[np.ix_(hidden, hidden)]


@pytest.mark.parametrize("size", [3, 8, 12])
def test_linear_programming_proves_what_subsets_prove(size):
    matrix = np.random.default_rng(size).normal(size=(size, size))
    certified = certified_order(matrix, tuple(range(size)), time_limit=60)
    optimum = subset_values(matrix).best[-1]
    assert order_value(matrix, certified.order) == pytest.approx(optimum)
    assert certified.bound == pytest.approx(optimum)


def test_branching_is_used_where_the_relaxation_is_fractional():
    # The relaxation of this Paley matrix lies well above its optimum of 35.
    certified = certified_order(paley(11), tuple(range(11)), time_limit=60)
    assert order_value(paley(11), certified.order) == certified.bound == 35


def test_thirty_tasks_are_proven_and_renaming_them_changes_nothing():
    matrix = ordered_with_noise(30, 0)
    tasks = tuple(f"t{k}" for k in range(30))
    plan = make_plan(TransferMatrix(tasks, matrix), time_limit=60)
    assert plan.optimal
    assert plan.method == "milp"
    assert sorted(plan.order) == sorted(tasks)
    renaming = np.random.default_rng(1).permutation(30)
    renamed = make_plan(
        TransferMatrix(tuple(tasks[k] for k in renaming), matrix[np.ix_(renaming, renaming)]), time_limit=60
    )
    assert renamed.best.objective == pytest.approx(plan.best.objective)


def test_without_time_the_bound_is_honest():
    matrix = np.random.default_rng(0).normal(size=(40, 40))
    solution = solve(matrix, time_limit=1e-6)
    value = order_value(matrix, solution.orders[0])
    assert solution.bound > value
    plan = make_plan(TransferMatrix(tuple(f"t{k}" for k in range(40)), matrix), time_limit=1e-6)
    assert plan.optimal is False
    assert plan.gap == pytest.approx((solution.bound - value) / solution.bound)


def test_insertion_search_ends_where_no_insertion_helps():
    matrix = np.random.default_rng(2).normal(size=(25, 25))
    order = insertion_search(matrix, tuple(range(25)))
    values = [order_value(matrix, other) for other in neighbours(matrix, order, count=10_000)]
    assert len(values) == 24 * 24 + 1
    assert max(values) == pytest.approx(values[0])


def test_neighbours_are_distinct_and_sorted():
    matrix = np.random.default_rng(3).normal(size=(6, 6))
    found = neighbours(matrix, (5, 3, 1, 0, 2, 4), count=12)
    values = [order_value(matrix, order) for order in found[1:]]
    assert len(set(found)) == 12
    assert values == sorted(values, reverse=True)
    assert all(sorted(order) == list(range(6)) for order in found)


def test_search_finds_the_optimum_of_twenty_tasks():
    matrix = np.random.default_rng(4).normal(size=(18, 18))
    order = search_order(matrix, time_limit=600, max_rounds=300)
    assert order_value(matrix, order) == pytest.approx(subset_values(matrix).best[-1])
    assert order == search_order(matrix, time_limit=600, max_rounds=300)


def test_hundreds_of_tasks_get_an_order_and_a_bound():
    matrix = np.random.default_rng(5).normal(size=(150, 150))
    plan = make_plan(TransferMatrix(tuple(f"t{k}" for k in range(150)), matrix), time_limit=0.5)
    assert plan.method == "search"
    assert plan.optimal is False
    assert plan.best.objective > plan.ranking[1].objective
    assert plan.best.objective < plan.bound
    names = {name: k for k, name in enumerate(plan.tasks)}
    assert order_value(matrix, [names[name] for name in plan.order]) == pytest.approx(plan.best.objective)
