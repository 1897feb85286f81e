"""Golden tests: the paper's own tables."""

import numpy as np
import pytest

from omnithinker.planning import (
    Accuracies,
    TransferMatrix,
    delta_rel,
    exact_order,
    forgettability_order,
    greedy_order,
    log_terminal_accuracies,
    make_plan,
    order_value,
    terminal_accuracies,
)
from omnithinker.planning.ordering import all_orders
from tests.builders.paper import TABLES, TASKS, indices, recovered, table_1, table_4


def word(order):
    return "".join(TASKS[k] for k in order)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_one_matrix_reproduces_all_24_rows_of_table_4(split):
    orders, printed, printed_delta = table_4(split)
    self_accuracy, bwt, mean_log_base = recovered(split)
    logs = log_terminal_accuracies(self_accuracy, bwt, orders)
    # The table has one decimal of a percent; the fit adds its own rounding.
    assert np.abs(np.exp(logs) - printed).max() < 0.0008
    base = np.full(4, np.exp(mean_log_base))
    assert np.abs(delta_rel(logs, base) - printed_delta).max() < 0.0011


def test_the_recovered_matrices_are_the_published_ones():
    _, test, _ = recovered("test")
    assert test.round(3).tolist() == [
        [0, -0.037, -0.007, 0.002],
        [-0.063, 0, 0.027, 0.016],
        [-0.273, -0.017, 0, 0.012],
        [-0.035, -0.035, -0.163, 0],
    ]
    _, validation, _ = recovered("validation")
    assert np.allclose(
        validation,
        [[0, 0.011, 0.052, 0.049], [0.055, 0, 0.029, -0.05], [0.022, -0.074, 0, 0.026], [0.078, -0.058, 0.004, 0]],
        atol=0.0011,
    )


@pytest.mark.parametrize("split", ["test", "validation"])
def test_algorithm_1_equals_the_closed_form(split):
    self_accuracy, bwt, _ = recovered(split)
    base = np.array([0.5, 0.3, 0.4, 0.7])
    full = bwt + np.diag(np.log(self_accuracy / base))
    orders = all_orders(4)
    closed = np.exp(log_terminal_accuracies(self_accuracy, bwt, orders))
    stepwise = np.array([terminal_accuracies(base, full, order) for order in orders])
    assert np.allclose(closed, stepwise, rtol=1e-13)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_ranking_of_all_orders_is_the_papers(split):
    orders, _, printed_delta = table_4(split)
    _, bwt, _ = recovered(split)
    ours = np.array([order_value(bwt, order) for order in orders]) / 4
    # Neighbours in the table may differ by less than its rounding; everything further apart must be in its sequence.
    for above in range(24):
        for below in range(above + 1, 24):
            if printed_delta[above] - printed_delta[below] > 0.0011:
                assert ours[above] > ours[below]


def test_exact_best_and_worst_of_table_4():
    _, test, _ = recovered("test")
    _, validation, _ = recovered("validation")
    assert word(exact_order(test)) == "MCQW"
    assert word(exact_order(-test)) == "WQCM"
    assert word(exact_order(validation)) == "CWMQ"


def test_row_sums_give_the_papers_curriculum_and_column_sums_its_worst():
    _, test, _ = recovered("test")
    assert word(greedy_order(test)) == "CMQW"
    assert word(greedy_order(test.T)) == "WQCM"
    assert word(forgettability_order(test)) == "CMWQ"


def test_table_1_gives_the_papers_best_and_worst():
    plan = make_plan(table_1())
    assert "".join(plan.order) == "CMQW"
    assert "".join(plan.worst) == "WQMC"
    assert "".join(plan.greedy) == "CMQW"
    assert plan.optimal is True
    assert len(plan.ranking) == 24
    assert "".join(plan.ranking[-1].order) == "WQMC"


def test_table_3_predictions_and_where_they_differ():
    """CMQW, QWCM and WQMC carry the predictions of Table 4; the row QMWC carries those of QMCW."""
    columns = ("math", "coding", "qa", "writing")
    self_accuracy, bwt, _ = recovered("test")
    for order, same_as in {"CMQW": "CMQW", "QWCM": "QWCM", "WQMC": "WQMC", "QMWC": "QMCW"}.items():
        printed = [TABLES["table_3"]["rows"][order][column][1] / 100 for column in columns]
        assert printed == pytest.approx([value / 100 for value in TABLES["table_4"]["test"][same_as][:4]], abs=1e-9)
        ours = np.exp(log_terminal_accuracies(self_accuracy, bwt, np.array([indices(same_as)])))[0]
        assert np.abs(ours - printed).max() < 0.0008


def test_the_model_fails_on_qa_when_writing_goes_first():
    measured, predicted = TABLES["table_3"]["rows"]["WQMC"]["qa"]
    assert (measured, predicted) == (22.6, 38.4)


def test_accuracies_and_their_matrix_give_the_same_order():
    source = table_1()
    plan = make_plan(source)
    assert make_plan(TransferMatrix(source.tasks, plan.bwt)).order == plan.order
    assert isinstance(source, Accuracies)


def test_the_four_curricula_of_table_3_rank_as_predicted():
    rows = TABLES["table_3"]["rows"]
    measured = {order: np.log([pair[0] for pair in row.values()]).mean() for order, row in rows.items()}
    predicted = {order: TABLES["table_4"]["test"][order][4] for order in rows}
    assert sorted(rows, key=measured.get) == sorted(rows, key=predicted.get) == ["WQMC", "QWCM", "QMWC", "CMQW"]
