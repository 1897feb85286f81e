"""The linear ordering problem: brute force, known optima, properties."""

import itertools

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from omnithinker.planning import exact_order, greedy_order, make_plan, order_value, subset_values
from omnithinker.planning.accuracies import TransferMatrix
from omnithinker.planning.ordering import all_orders
from tests.builders.paper import paley

SMALL = hnp.arrays(np.float64, (5, 5), elements=st.integers(-50, 50).map(float))


def brute_force(matrix):
    return max(order_value(matrix, order) for order in itertools.permutations(range(len(matrix))))


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6, 7, 8])
def test_exact_equals_brute_force(size):
    matrix = np.random.default_rng(size).normal(size=(size, size))
    values = np.sort([order_value(matrix, order) for order in all_orders(size)])[::-1]
    orders = subset_values(matrix).orders(30)
    assert len(set(orders)) == len(orders) == min(30, len(values))
    assert [order_value(matrix, order) for order in orders] == pytest.approx(values[: len(orders)])


@pytest.mark.parametrize(("p", "optimum"), [(11, 35), (19, 107)])
def test_paley_optima(p, optimum):
    order = exact_order(paley(p))
    assert sorted(order) == list(range(p))
    assert order_value(paley(p), order) == optimum


@settings(max_examples=50, deadline=None)
@given(SMALL, st.permutations(range(5)), st.integers(-1000, 1000))
def test_renaming_tasks_and_the_diagonal_change_nothing(matrix, permutation, constant):
    best = order_value(matrix, exact_order(matrix))
    renamed = matrix[np.ix_(permutation, permutation)]
    back = [permutation[k] for k in exact_order(renamed)]
    assert order_value(matrix, back) == best == brute_force(matrix)
    assert exact_order(matrix + constant * np.eye(5)) == exact_order(matrix)


@settings(max_examples=50, deadline=None)
@given(SMALL, st.integers(1, 9))
def test_scaling_all_weights_scales_the_objective_only(matrix, scale):
    tasks = tuple("abcde")
    plain = make_plan(TransferMatrix(tasks, matrix))
    scaled = make_plan(TransferMatrix(tasks, matrix), weights=dict.fromkeys(tasks, float(scale)))
    assert scaled.order == plain.order
    assert scaled.best.objective == pytest.approx(scale * plain.best.objective)


@settings(max_examples=50, deadline=None)
@given(SMALL)
def test_the_worst_order_is_the_best_reversed(matrix):
    plan = make_plan(TransferMatrix(tuple("abcde"), matrix))
    assert plan.ranking[-1].objective == pytest.approx(
        order_value(matrix, ["abcde".index(task) for task in plan.worst])
    )


def test_ties_keep_the_sequence_of_the_input():
    assert exact_order(np.zeros((4, 4))) == (0, 1, 2, 3)
    assert greedy_order(np.zeros((4, 4))) == (0, 1, 2, 3)
    assert make_plan(TransferMatrix(tuple("abcd"), np.zeros((4, 4)))).order == tuple("abcd")


def test_too_many_tasks_for_subsets_are_refused():
    with pytest.raises(ValueError, match="at most 20 tasks, not 21"):
        subset_values(np.zeros((21, 21)))
