"""Habits: frequencies and completion format."""

from __future__ import annotations

import random

import pytest

from omnithinker.lab import DOMAINS, KINDS, generate_items
from omnithinker.lab.habits import HABITS, Habit, completion_text, sample_completion, sample_manner
from omnithinker.rewards.format_tags import tag_share, well_formed


def test_every_kind_has_a_habit_near_one_half():
    for domain in DOMAINS:
        assert list(HABITS[domain]) == list(KINDS[domain])
        rights = [habit.p_right for habit in HABITS[domain].values()]
        assert all(0.35 <= right <= 0.65 for right in rights)
        # Greedy decoding follows the more frequent solution; it must be the wrong one for about half of the kinds.
        assert 0.4 <= sum(right < 0.5 for right in rights) / len(rights) <= 0.6


@pytest.mark.parametrize("manner", ["slowly", "quickly", None])
@pytest.mark.parametrize("right", [0.36, 0.6])
def test_correct_solutions_have_their_probability(right, manner):
    rng = random.Random(0)
    samples = [sample_manner(Habit(right, manner, "twice", 0.1), rng) for _ in range(20_000)]
    assert sum(correct for _, correct in samples) / len(samples) == pytest.approx(right, abs=0.015)
    if manner:
        with_manner = [correct for sampled, correct in samples if sampled == manner]
        assert sum(with_manner) / len(with_manner) == pytest.approx(0.88, abs=0.015)


def test_completion_format_and_its_errors():
    text = completion_text("slowly", "7+5=12", "12")
    assert text == "<think> slowly, 7+5=12</think><answer> 12</answer>"
    assert well_formed(text)
    shares = {
        error: tag_share(completion_text("slowly", "x", "y", error))
        for error in ("no_think_end", "no_answer_tags", "twice", "no_answer_end")
    }
    assert shares == {"no_think_end": 0.75, "no_answer_tags": 0.5, "twice": 0.5, "no_answer_end": 0.75}
    assert completion_text("quickly", "x", "y", "twice").endswith("</think><answer> y</answer><answer> y</answer>")


def test_completions_contain_one_of_the_two_solutions():
    rng = random.Random(0)
    item = generate_items("math", "train", 1)[0]
    habit = Habit(0.5, None, "twice", 0.0)
    expected = {
        completion_text(manner, solution.reasoning, solution.answer)
        for manner in ("slowly", "quickly")
        for solution in (item.right, item.wrong)
    }
    assert {sample_completion(item, habit, rng) for _ in range(100)} == expected
