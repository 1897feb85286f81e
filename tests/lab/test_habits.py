"""Habits: frequencies as declared, and texts in the format they claim."""

from __future__ import annotations

import random

import pytest

from omnithinker.lab import DOMAINS, KINDS, generate_items
from omnithinker.lab.habits import HABITS, Habit, completion_text, habitual_completion, manner_and_way
from omnithinker.rewards.format_tags import tag_share, well_formed


def test_every_kind_has_a_habit_of_mixed_quality():
    for domain in DOMAINS:
        assert list(HABITS[domain]) == list(KINDS[domain])
        rights = [habit.right for habit in HABITS[domain].values()]
        assert all(0.35 <= right <= 0.65 for right in rights)
        # Greedy decoding follows the more frequent way: about half of the kinds must have the wrong one.
        assert 0.4 <= sum(right < 0.5 for right in rights) / len(rights) <= 0.6


@pytest.mark.parametrize("suits", ["slowly", "quickly", None])
@pytest.mark.parametrize("right", [0.36, 0.6])
def test_right_way_has_its_probability(right, suits):
    rng = random.Random(0)
    draws = [manner_and_way(Habit(right, suits, "twice", 0.1), rng) for _ in range(20_000)]
    assert sum(way for _, way in draws) / len(draws) == pytest.approx(right, abs=0.015)
    if suits:
        suited = [way for manner, way in draws if manner == suits]
        assert sum(suited) / len(suited) == pytest.approx(0.88, abs=0.015)


def test_format_and_its_slips():
    text = completion_text("slowly", "7+5=12", "12")
    assert text == "<think> slowly, 7+5=12</think><answer> 12</answer>"
    assert well_formed(text)
    shares = {
        slip: tag_share(completion_text("slowly", "x", "y", slip))
        for slip in ("no_think_end", "no_answer_tags", "twice", "no_answer_end")
    }
    assert shares == {"no_think_end": 0.75, "no_answer_tags": 0.5, "twice": 0.5, "no_answer_end": 0.75}
    assert completion_text("quickly", "x", "y", "twice").endswith("</think><answer> y</answer><answer> y</answer>")


def test_a_habitual_completion_is_one_of_the_two_ways():
    rng = random.Random(0)
    item = generate_items("math", "train", 1)[0]
    habit = Habit(0.5, None, "twice", 0.0)
    expected = {
        completion_text(manner, work.think, work.answer)
        for manner in ("slowly", "quickly")
        for work in (item.right, item.wrong)
    }
    assert {habitual_completion(item, habit, rng) for _ in range(100)} == expected
