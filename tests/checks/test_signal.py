"""Findings about learning from samples, and their remedies."""

from __future__ import annotations

import pytest

from omnithinker.checks.signal import Alternative, best_alternative, findings, other_places, varying
from omnithinker.config.rewards import parse_reward
from omnithinker.types import Prompt, RolloutGroup, Score, Trajectory

MATH = {"math_answer": parse_reward({"kind": "math_answer"})}


def group(*samples, text="3", truncated=False):
    """Samples are (reward, correct)."""
    return RolloutGroup(
        prompt=Prompt(task="t", index=0, text=""),
        trajectories=tuple(Trajectory(text=f"{text}{g}", truncated=truncated) for g in range(len(samples))),
        scores=tuple(
            Score(reward=reward, correct=correct, components={}, causes={} if reward is not None else {"j": "down"})
            for reward, correct in samples
        ),
    )


def found(*groups, rewards=MATH, alternative=None):
    return findings("t", rewards, groups, alternative, 64)


def test_nothing_is_wrong_with_rewards_that_differ():
    assert found(group((0, 0), (1, 1)), group((0, 0), (0, 0))) == []


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        ([group((0, 0), (0, 0))], "tasks.t: none of 2 samples earns any reward, so nothing can be learnt"),
        (
            [group((1, 1), (1, 1))],
            "tasks.t: all 2 samples earn the full reward, so nothing is left to learn; use harder rows",
        ),
        ([group((0.1, 0), (0.1, 0))], "tasks.t: all 2 samples earn the same reward, 0.1, so nothing can be learnt"),
        (
            [group((0, 0), (0, 0)), group((1, 1), (1, 1))],
            "tasks.t: no group has samples with different rewards, so nothing can be learnt",
        ),
        (
            [group((0, 0), (0.1, 0))],
            "tasks.t: none of 2 samples is right, so only the rewards that are not primary can be learnt",
        ),
        ([group((None, None), (None, None))], "tasks.t: none of 2 samples has a defined reward (2 down)"),
    ],
)
def test_each_problem_is_named(groups, line):
    assert found(*groups)[0] == line


def test_the_remedy_for_another_place_is_the_setting_itself():
    alternative = Alternative("math_answer", ("tags", 'after:"#"'), 3, 1)
    assert alternative.setting == r'rewards.math_answer.answer_from = ["tags", "after:\"#\""]'
    lines = found(group((0, 0), (0, 0)), alternative=alternative)
    assert lines[1:] == [
        r'tasks.t: set rewards.math_answer.answer_from = ["tags", "after:\"#\""]: 3 of 2 samples would be right, '
        "and 1 of 1 groups would vary"
    ]


def test_the_remedies_for_length_temperature_format_and_difficulty():
    cut = found(group((0, 0), (0, 0), truncated=True))
    assert "2 of 2 samples are cut off at 64 tokens: raise max_new_tokens" in cut[1]
    same = group((0, 0), (0, 0))
    same = RolloutGroup(prompt=same.prompt, trajectories=(same.trajectories[0],) * 2, scores=same.scores)
    assert "raise sampling.temperature" in found(same)[1]
    assert "no sample has an <answer>" in found(group((0, 0), (0, 0)))[-1]
    assert (
        "2 of 2 samples have an answer, none of them right"
        in found(group((0, 0), (0, 0), text="<answer>1</answer>"))[-1]
    )
    solved, failed = (group((one, one), (one, one), text="<answer>1</answer>") for one in (1, 0))
    assert "4 of 4 samples have an answer, 2 of them right" in found(solved, failed)[-1]
    warm_start = 'a group [warmup], and for this task demonstration = "<answer>{answer}</answer>" or the like'
    for text in ("", "<answer>1</answer>"):
        assert warm_start in found(group((0, 0), (0, 0), text=text))[-1]


def test_undefined_values_make_no_variance():
    assert varying([[None, 1.0], [0.0, 1.0], [1.0, 1.0]]) == 1


def test_places_are_added_behind_and_before():
    tried = list(other_places(MATH["math_answer"]))
    assert ("tags", "last_number") in tried
    assert ("last_number", "tags") in tried
    assert ("tags", "text") in tried
    assert ("text", "tags") not in tried
    assert ("last_number", "text") in list(other_places(parse_reward({"kind": "math_answer", "answer_from": "text"})))
    assert all("boxed" not in places for places in other_places(parse_reward({"kind": "unit_tests"})))
    assert list(other_places(parse_reward({"kind": "pairwise_judge"}))) == []  # calls cost
    assert list(other_places(parse_reward({"kind": "format"}))) == []


def test_the_alternative_must_be_clearly_better():
    first, second = Alternative("m", ("a",), 3, 2), Alternative("m", ("b",), 3, 2)
    assert best_alternative([first, second], [[0, 0], [0, 0]]) is first
    assert best_alternative([first], [[1, 1], [0, 0]]) is None  # 3 is less than twice 2
    assert best_alternative([Alternative("m", ("a",), 0, 0)], [[0.0, 0.0]]) is None
