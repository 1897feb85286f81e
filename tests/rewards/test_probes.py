"""Completions of known value: made from the right fields, and provably wrong where they must be."""

from __future__ import annotations

import pytest

from omnithinker.rewards.answers import last_answer
from omnithinker.rewards.external import PythonReward
from omnithinker.rewards.format_tags import Format, Tags
from omnithinker.rewards.math_answer import MathAnswer, wrong_number
from omnithinker.rewards.pairwise_judge import PairwiseJudge
from omnithinker.rewards.probes import UNLIKELY_ANSWER, ProbeContext
from omnithinker.rewards.short_answer import ShortAnswer
from omnithinker.rewards.unit_tests import CHEAT_ROWS, SLOW_CHEAT_ROWS, UnitTests, extract_code, reference_solution


def probes_of(reward, row, others=(), position=0, **settings):
    kind = {"kind": "python:m:f"} if reward is PythonReward else {}
    return reward.probes(row, ProbeContext(position, others, reward.Settings(**kind, **settings)))


def answers(probes, expected):
    return [last_answer(probe.text) for probe in probes if probe.expected == expected]


@pytest.mark.parametrize(
    ("gold", "others", "wrong"),
    [
        ("3", ["3.0", "6/2", "4"], "4"),  # equal numbers in other words are no wrong answers
        ("0.5", ["1/2", "50", "0.005"], "3/2"),  # nor is what a percent sign could make equal
        ("10%", ["0.1", "10"], "11"),
        ("7", ["x+1", "monday"], "8"),
        ("x+1", ["7"], UNLIKELY_ANSWER),
    ],
)
def test_the_wrong_number_is_another_number(gold, others, wrong):
    assert wrong_number(gold, others) == wrong


def test_a_worked_solution_is_reduced_to_its_answer():
    probes = probes_of(MathAnswer, {"answer": "2 + 2 is 4.\n#### 4"}, [{"answer": "5"}])
    assert answers(probes, 1.0) == ["4"]
    assert answers(probes, 0.0) == ["5"]


def test_every_other_option_is_wrong():
    row = {"answer": "Paris", "options": ["Lyon", "paris.", "Nice"]}
    assert answers(probes_of(ShortAnswer, row), 1.0) == ["paris."]
    assert answers(probes_of(ShortAnswer, row), 0.0) == ["Lyon", "Nice"]


def test_without_options_every_accepted_answer_is_right_and_another_rows_wrong():
    probes = probes_of(ShortAnswer, {"answers": ["NYC", "New York"]}, [{"answer": "nyc"}, {"answer": "Rome"}])
    assert answers(probes, 1.0) == ["NYC", "New York"]
    assert answers(probes, 0.0) == ["rome"]


def test_the_judge_is_asked_about_the_reference_and_about_nonsense():
    probes = probes_of(PairwiseJudge, {"reference": "a text."})
    assert [(last_answer(probe.text), probe.expected) for probe in probes] == [("a text.", None), ("...", 0.0)]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"solution": "x = 1"}, ("solution", "x = 1")),
        ({"solution": "Here:\n```python\nx = 1\n```"}, ("solution", "x = 1")),
        ({"solutions": '["x = 1", "x = 2"]'}, ("solutions", "x = 1")),
        (
            {"prompt": "def f(x):", "canonical_solution": "    return x"},
            ("canonical_solution", "def f(x):\n    return x"),
        ),
        ({"extra_info": {"reference": "x = 1"}}, ("extra_info.reference", "x = 1")),
        ({"solutions": "not json"}, None),
        ({"solutions": "[" * 100_000}, None),
        ({"answer": "1"}, None),
    ],
)
def test_reference_solutions_are_found_under_the_names_of_data_sets(row, expected):
    assert reference_solution(row) == expected


def test_programs_are_the_solution_and_cheats():
    row = {"tests": {"fn_name": "f", "inputs": [[1], [2]], "outputs": [1, 2]}, "solution": "def f(x): return x"}
    probes = probes_of(UnitTests, row)
    assert extract_code(probes[0].text) == "def f(x): return x"
    assert {probe.role for probe in probes} == {"plain", "cheat"}
    assert sum(probe.role == "cheat" for probe in probes) >= 8
    assert "infinite loop" in {probe.name for probe in probes}
    names = {probe.name for probe in probes_of(UnitTests, row, position=SLOW_CHEAT_ROWS)}
    assert "writes a forged report" in names
    assert "infinite loop" not in names
    assert [probe.name for probe in probes_of(UnitTests, row, position=CHEAT_ROWS)] == ["reference solution"]


@pytest.mark.parametrize("reward", [Format, Tags])
def test_rewards_of_the_format_are_probed_with_and_without_markers(reward):
    scores = {probe.text: probe.expected for probe in probes_of(reward, {})}
    assert scores == {"<think> so </think> <answer> 7 </answer>": 1.0, "7": 0.0}
    assert reward.probed_rows == 1


@pytest.mark.parametrize(
    ("row", "answer", "field"),
    [
        ({"answers": ["a", "b"]}, "a", "answers"),
        ({"answer": 3}, "3", "answer"),
        ({"reference": "text"}, "text", "reference"),
        ({"x": 1}, "7", "-"),
    ],
)
def test_other_peoples_rewards_get_what_looks_like_gold(row, answer, field):
    (probe,) = probes_of(PythonReward, row)
    assert (last_answer(probe.text), probe.field, probe.expected) == (answer, field, None)
