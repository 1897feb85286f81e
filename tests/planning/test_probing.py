"""Probes, cost, explanation and plots."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from omnithinker.cli import main
from omnithinker.errors import PlanError
from omnithinker.planning import (
    Accuracies,
    Probe,
    TransferMatrix,
    deciding_pairs,
    explain,
    make_plan,
    plan_to_json,
    plot_plan,
)
from omnithinker.planning.cost import cost_sentence, planning_cost
from omnithinker.planning.probing import probe_sentence
from tests.builders.paper import table_1

BASE = np.array([0.5, 0.5])
FINAL = np.array([[0.6, 0.55], [0.4, 0.6]])
"""a before b: a gains log 1.1, b would lose log 0.8."""
REVERSED = np.array([[0.6, 0.45], [0.5, 0.6]])
"""b before a: a would lose log 0.9."""


def probed(*probes):
    return Accuracies(("a", "b"), BASE, FINAL, None, None, tuple(Probe(*probe) for probe in probes))


def test_settled_at_the_first_probe_from_which_nothing_changes():
    report = make_plan(probed((0.1, FINAL), (0.25, REVERSED), (0.5, FINAL), (0.75, FINAL))).probes
    assert report.settled_at == 0.5
    assert [entry.order for entry in report.orders] == [("a", "b"), ("b", "a"), ("a", "b"), ("a", "b")]
    # The reversed order has log 0.8 instead of log 1.1 on the final matrix.
    assert [entry.regret for entry in report.orders] == pytest.approx([0, np.log(1.1 / 0.8), 0, 0])
    assert "the order was settled at 50%" in probe_sentence(report)


def test_not_settled_before_the_end():
    report = make_plan(probed((0.25, FINAL), (0.5, REVERSED))).probes
    assert report.settled_at == 1
    assert "not settled before the end" in probe_sentence(report)
    # Each reversed column alone: a before b still wins (log 1.1 against 0, and log 0.9 against log 0.8).
    assert report.shorten == {"a": 0.25, "b": 0.25}


def test_one_run_may_be_cut_though_the_other_may_not():
    # At this probe the run on b still looked more harmful to a (log 0.7) than a ever is to b (log 0.8).
    report = make_plan(probed((0.5, np.array([[0.6, 0.35], [0.4, 0.6]])))).probes
    assert report.settled_at == 1
    assert report.shorten == {"a": 0.5}


def test_probes_are_read_from_json_and_written_to_json(tmp_path, capsys):
    table = {
        "tasks": ["a", "b"],
        "base": {"a": 0.5, "b": 0.5},
        "after": {"a": {"a": 0.6, "b": 0.4}, "b": {"a": 0.55, "b": 0.6}},
        "probes": [
            {"fraction": 0.5, "after": {"a": {"a": 0.6, "b": 0.4}, "b": {"a": 0.55, "b": 0.6}}},
            {"fraction": 0.25, "after": {"a": {"a": 0.6, "b": 0.5}, "b": {"a": 0.45, "b": 0.6}}},
        ],
    }
    (tmp_path / "accuracies.json").write_text(json.dumps(table))
    assert main(["plan", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["probes"]
    assert found["settled_at"] == 0.5
    assert [entry["fraction"] for entry in found["orders"]] == [0.25, 0.5]
    table["probes"][0]["fraction"] = 1.5
    (tmp_path / "accuracies.json").write_text(json.dumps(table))
    assert main(["plan", str(tmp_path)]) == 2
    assert "probes[0]: fraction 1.5 is not between 0 and 1" in capsys.readouterr().err


def test_cost():
    assert planning_cost(4).all_orders == 96
    assert planning_cost(4).all_orders_shared == 64  # 4 + 12 + 24 + 24
    assert "4 single-task trainings; trying all orders takes 96 (64" in cost_sentence(planning_cost(4))
    assert planning_cost(30).all_orders is None


def test_explanation_adds_up_to_the_objective():
    plan = make_plan(table_1())
    pairs = deciding_pairs(plan)
    assert len(pairs) == 6
    assert sum(pair.kept for pair in pairs) == pytest.approx(plan.best.objective)
    assert (pairs[0].first, pairs[0].second) == ("Q", "W")
    lines = explain(plan)
    assert lines[1].startswith("Q before W (+0.17")
    assert "every pair is in its better sequence" in lines[-2]
    assert lines[-1].startswith("next best: M > C > Q > W")


def test_explanation_names_pairs_that_were_given_up():
    # a cycle: a before b, b before c, c before a; the weakest, c before a, must yield.
    matrix = np.array([[0, 3, 0], [0, 0, 2], [1, 0, 0]], dtype=float)
    plan = make_plan(TransferMatrix(("a", "b", "c"), matrix))
    assert plan.order == ("a", "b", "c")
    text = "\n".join(explain(plan))
    assert "a before c (-1.0000)" in text
    assert "violates 1 of 3 pairs (1.0000 nats)" in text


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_plot_of_accuracies(tmp_path, suffix):
    path = tmp_path / f"plan{suffix}"
    plot_plan(make_plan(table_1(), resamples=500), path)
    if suffix == ".png":
        assert path.read_bytes().startswith(b"\x89PNG")
        return
    text = path.read_text()
    ElementTree.fromstring(text)
    assert "evaluated task" in text
    assert "trained task" in text
    assert "−0.164" in text  # writing after training on QA: 0.630 / 0.742
    assert "C &gt; M &gt; Q &gt; W" in text


def test_plot_of_a_bare_matrix_with_many_tasks(tmp_path):
    matrix = np.random.default_rng(0).normal(size=(14, 14))
    plan = make_plan(TransferMatrix(tuple(f"t{k}" for k in range(14)), matrix))
    plot_plan(plan, tmp_path / "plan.svg")
    assert "pairs in the chosen order" in (tmp_path / "plan.svg").read_text()


def test_plot_names_are_checked_before_any_work(tmp_path):
    plan = make_plan(table_1(), resamples=0)
    with pytest.raises(PlanError, match=r"must end in \.svg or \.png"):
        plot_plan(plan, tmp_path / "plan.pdf")
    with pytest.raises(PlanError, match="does not exist"):
        plot_plan(plan, tmp_path / "absent" / "plan.svg")


def test_more_than_seven_tasks_list_the_best_and_worst_hundred():
    matrix = np.random.default_rng(1).normal(size=(9, 9))
    plan = make_plan(TransferMatrix(tuple("abcdefghi"), matrix))
    found = plan_to_json(plan)
    values = [entry["objective"] for entry in found["ranking"]]
    assert len(values) == 100
    assert values == sorted(values, reverse=True)
    worst = [entry["objective"] for entry in found["worst_ranking"]]
    assert worst == sorted(worst)
    assert worst[0] + values[0] == pytest.approx(matrix.sum() - np.trace(matrix))
