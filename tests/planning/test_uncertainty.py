"""Confidence: draws, probabilities, intervals and the sentence."""

import json

import numpy as np
import pytest

from omnithinker.planning import Accuracies, accuracies_from_dict, confidence_sentence, exact_order, make_plan
from omnithinker.planning.ordering_batch import best_orders
from omnithinker.planning.output import plan_to_json
from omnithinker.planning.resampling import sample_accuracies
from omnithinker.planning.uncertainty import further_items
from tests.builders.paper import table_1


def two_tasks(n):
    """The pair's margin is log(0.55 / 0.5) - log(0.5 / 0.5) in favour of a before b."""
    return Accuracies(
        ("a", "b"), np.array([0.5, 0.5]), np.array([[0.6, 0.55], [0.5, 0.6]]), None if n is None else np.array([n, n])
    )


def with_items(same_share, n=400):
    """Base and later models agree on ``same_share`` of the items; otherwise they are opposite, in equal numbers."""
    base = np.arange(n) % 2
    flipped = np.arange(n) >= same_share * n
    after_b = np.where(flipped, 1 - base, base)
    table = {"a": np.column_stack([base, base, after_b]).astype(float)}
    table["b"] = np.column_stack([base, base, base]).astype(float)
    half = np.full((2, 2), 0.5)
    return Accuracies(("a", "b"), half[0], half, np.array([n, n]), table)


def test_draws_from_counts_have_the_binomial_spread():
    drawn = sample_accuracies(two_tasks(500), 20_000, np.random.default_rng(0))
    assert drawn.shape == (20_000, 2, 3)
    expected = np.array([[0.5, 0.6, 0.55], [0.5, 0.5, 0.6]])
    assert drawn.mean(axis=0) == pytest.approx(expected, abs=0.001)
    assert drawn.std(axis=0) == pytest.approx(np.sqrt(expected * (1 - expected) / 500), rel=0.03)


def test_draws_from_items_keep_the_pairing():
    drawn = sample_accuracies(with_items(0.9), 20_000, np.random.default_rng(0))
    base, _, after_b = drawn[:, 0].T
    assert base.std() == pytest.approx((0.25 / 400) ** 0.5, rel=0.05)
    # 10% of the items differ by one: the difference has variance 0.1 / n, not 0.5 / n.
    assert (after_b - base).std() == pytest.approx((0.1 / 400) ** 0.5, rel=0.05)


def test_undefined_items_take_no_part():
    outcomes = np.array([[1.0, 1.0, np.nan], [0.0, 1.0, 1.0], [1.0, np.nan, 0.0]] * 200)
    half = np.full((2, 2), 0.5)
    source = Accuracies(("a", "b"), half[0], half, np.array([600, 600]), {"a": outcomes, "b": outcomes})
    drawn = sample_accuracies(source, 5_000, np.random.default_rng(0))
    assert drawn[:, 0].mean(axis=0) == pytest.approx([2 / 3, 1.0, 0.5], abs=0.003)


@pytest.mark.parametrize("size", [2, 5, 7, 8, 10])
def test_many_matrices_at_once_equal_one_at_a_time(size):
    matrices = np.random.default_rng(size).normal(size=(20, size, size))
    assert best_orders(matrices, tuple(range(size))).tolist() == [list(exact_order(matrix)) for matrix in matrices]


def test_probability_of_a_pair_is_that_of_its_margin():
    confidence = make_plan(two_tasks(300), resamples=40_000).confidence
    rng = np.random.default_rng(99)
    after_b, base_a, after_a, base_b = rng.beta(
        np.array([165, 150, 150, 150]) + 0.5, np.array([135, 150, 150, 150]) + 0.5, size=(400_000, 4)
    ).T
    expected = np.mean(np.log(after_b / base_a) > np.log(after_a / base_b))
    assert confidence.pair_before[0, 1] == pytest.approx(expected, abs=0.01)
    assert confidence.pair_before[0, 1] + confidence.pair_before[1, 0] == pytest.approx(1)
    assert confidence.best.probability == confidence.pair_before[0, 1]


def test_intervals_cover_the_prediction_and_shrink_with_items():
    few, many = (make_plan(two_tasks(n)).confidence.best for n in (100, 10_000))
    width = [entry.predicted[:, 1] - entry.predicted[:, 0] for entry in (few, many)]
    assert (width[0] > 8 * width[1]).all()
    assert (width[0] < 12 * width[1]).all()
    assert many.predicted[0, 0] < 0.66 < many.predicted[0, 1]  # 0.6 x 0.55 / 0.5
    # b comes last: its prediction is its own run, with the binomial interval 0.6 +- 1.645 x sqrt(0.24 / n).
    assert many.predicted[1] == pytest.approx([0.6 - 0.00806, 0.6 + 0.00806], abs=0.0005)


def test_without_item_counts_there_is_no_confidence():
    assert make_plan(two_tasks(None)).confidence is None


def test_identical_models_are_a_coin_toss():
    plan = make_plan(with_items(1.0))
    (pair,) = plan.confidence.pairs
    assert pair.probability < 0.52
    assert pair.verdict == "coin toss"
    assert pair.more_items is None


@pytest.mark.parametrize(
    ("probability", "expected"),
    # z = 0.5, 1, and a margin so small that 10,000 resamples cannot see it.
    [(0.6914625, 9_800), (0.8413447, 1_700), (0.96, 0), (0.505, None), (0.5, None)],
)
def test_further_items_follow_the_square_root_law(probability, expected):
    assert further_items(probability, 1_000, 10_000) == expected


def test_the_estimated_number_of_items_settles_the_pair():
    plan = make_plan(two_tasks(200))
    (pair,) = plan.confidence.pairs
    assert pair.more_items > 0
    enough = (400 + pair.more_items) // 2
    assert make_plan(two_tasks(enough)).confidence.pairs[0].probability == pytest.approx(0.95, abs=0.02)


def test_sentence_names_what_is_settled_and_what_is_not():
    plan = make_plan(table_1())
    order = tuple(plan.tasks.index(task) for task in plan.order)
    sentence = confidence_sentence(plan.confidence, plan.tasks, order)
    assert sentence.startswith("C > M > Q > W is best in 4")
    assert "C against M is a coin toss" in sentence
    assert "more test items are needed" in sentence
    assert "test-set noise only, without the variation between training seeds" in sentence


def test_confidence_in_json():
    plan = make_plan(table_1(), resamples=2_000, seed=3)
    found = json.loads(json.dumps(plan_to_json(plan), allow_nan=False))["confidence"]
    assert found["resamples"] == 2_000
    assert found["basis"] == "counts"
    assert np.shape(found["pair_before"]) == (4, 4)
    assert found["order"] == pytest.approx(
        next(entry["probability"] for entry in found["orders"] if entry["order"] == list(plan.order))
    )
    assert sum(entry["probability"] for entry in found["orders"]) == pytest.approx(1)
    assert len(found["pairs"]) == 6


def test_items_from_a_table_are_read_and_checked():
    items = {model: {"a": [1, 0, None], "b": [0.5, 1, 0]} for model in ("base", "a", "b")}
    table = {
        "tasks": ["a", "b"],
        "base": {"a": 0.5, "b": 0.5},
        "after": {"a": {"a": 0.5, "b": 0.5}, "b": {"a": 0.5, "b": 0.9}},
        "items": items,
    }
    source = accuracies_from_dict(table)
    assert source.n.tolist() == [2, 3]
    plan = make_plan(source)
    assert plan.confidence.basis == "items"
    assert [warning[:10] for warning in plan.warnings] == ["items of b"]
