"""Scores from Python equal those of the command; bad rows are named."""

from __future__ import annotations

import pytest

from omnithinker.errors import BadInput, DataError
from omnithinker.integrations.completions import score_completions

GOOD = "<think> so </think> <answer> {} </answer>"


def test_scores_come_in_the_order_of_the_rows():
    rows = [{"answer": "4", "completion": GOOD.format(text)} for text in ("5", "4", "4.0")]
    scores = score_completions("lab-quick", rows, task="math")
    assert [score.components["math_answer"] for score in scores] == [0.0, 1.0, 1.0]
    assert [score.reward for score in scores] == pytest.approx([0.2, 1.2, 1.2])


def test_each_row_may_name_its_task():
    rows = [
        {"task": "math", "answer": "4", "completion": GOOD.format("4")},
        {"task": "qa", "answer": "Paris", "completion": GOOD.format("paris")},
    ]
    assert [set(score.components) - {"format", "tags"} for score in score_completions("lab-quick", rows)] == [
        {"math_answer"},
        {"short_answer"},
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "4"}, 'row 1: expected a JSON object with a text field "completion"'),
        ({"completion": "x", "task": "math"}, "row 1: no field 'answer'"),
        ({"completion": "x", "task": "maths"}, "row 1: no task 'maths' in the recipe; did you mean 'math'?"),
        ({"completion": "x"}, 'row 1: no field "task"; add it, or select one task for all rows: math, code'),
    ],
)
def test_a_bad_row_is_named(row, message):
    with pytest.raises(DataError) as caught:
        score_completions("lab-quick", [{"task": "math", "answer": "1", "completion": "x"}, row])
    assert message in str(caught.value)


def test_an_unknown_task_is_bad_input():
    with pytest.raises(BadInput, match="no task 'poetry' in the recipe"):
        score_completions("lab-quick", [], task="poetry")
