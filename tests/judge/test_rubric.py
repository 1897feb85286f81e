"""The rubric judge: points, verdicts, symmetry, and a clear error without a rubric."""

from __future__ import annotations

import asyncio

import pytest

from omnithinker.errors import JudgeError
from omnithinker.judge.base import Verdict
from omnithinker.judge.rubric import RubricJudge, rubric_points, sentences_of

SEA = {
    "words": ["boat", "wave"],
    "topic": ["boat", "wave", "beach"],
    "sentences": 2,
    "begin": "the",
    "end": "beach",
    "variety": 6,
}
GOOD = "The old boat waits. A wave moves on the beach."


def compare(a, b, rubric=SEA):
    row = {"rubric": rubric}
    return asyncio.run(RubricJudge().compare(request="", answer_a=a, answer_b=b, row=row))


@pytest.mark.parametrize(
    ("text", "points"),
    [
        (GOOD, 16),
        (GOOD.rstrip("."), 15),  # no final period
        ("The old boat waits. A wave moves.", 14),  # wrong end
        ("An old boat waits. A wave moves on the beach.", 14),  # wrong begin
        ("The old boat waits. It moves on the beach.", 14),  # a word missing
        ("The old boat and a wave wait. It moves. On the beach.", 12),  # three sentences, one off topic
        ("The boat. The boat.", 9),  # repeated, dull, wrong end, a word missing
        ("", 0),
        (" ... ", 0),
    ],
)
def test_points(text, points):
    assert rubric_points(text, SEA) == points


def test_criteria_that_the_rubric_does_not_name_give_nothing():
    assert rubric_points("Any text.", {"sentences": 3}) == 3
    assert rubric_points("Any text.", {"sentences": 1}) == 5


def test_words_are_matched_whole():
    assert rubric_points("boats", {"words": ["boat"]}) == 2
    assert rubric_points("boat", {"words": ["boat"]}) == 4


def test_sentences_are_compared_by_their_words():
    assert sentences_of("One, two! One two? ... three") == [["one", "two"], ["one", "two"], ["three"]]


def test_verdicts_are_symmetric():
    worse = GOOD.rstrip(".")
    assert compare(GOOD, worse) is Verdict.A
    assert compare(worse, GOOD) is Verdict.B
    assert compare(GOOD, GOOD) is Verdict.TIE


@pytest.mark.parametrize("rubric", [None, {}, "words", {"words": ["a"], "lenght": 3}])
def test_a_row_without_a_usable_rubric_is_an_error(rubric):
    with pytest.raises(JudgeError, match="requires a row field 'rubric' with some of words, topic"):
        compare("a", "b", rubric)
