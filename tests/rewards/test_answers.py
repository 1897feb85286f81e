"""Places where the answer of a completion is looked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from omnithinker.config.rewards import parse_reward
from omnithinker.rewards.answers import AnswerFinder, last_answer, strip_think
from omnithinker.rewards.math_answer import MathAnswer
from omnithinker.rewards.unit_tests import extract_code


@pytest.fixture
def re2():
    return pytest.importorskip("re2", reason="google-re2 is not installed (pip install 'omnithinker[regex]')")


def find(text, *places, verbatim=False):
    return AnswerFinder(places, verbatim).find(text)


@pytest.mark.parametrize(
    ("place", "text", "answer"),
    [
        ("tags", "<answer> 1 </answer> <answer> 2 </answer> 3", "2"),
        ("tags", "<think><answer>1</answer></think>", "1"),
        ("tags", "\\boxed{1}", None),
        ("boxed", r"so \boxed{1}, and \boxed{\frac{1}{2}} it is", r"\frac{1}{2}"),
        ("boxed", r"<think>\boxed{1}</think> none", None),
        ("boxed", r"\boxed{1} and \boxed{2", "1"),
        ("boxed", r"\boxed{a \boxed{b} c}", r"a \boxed{b} c"),
        ("after:####", "3 + 4 = 7\n#### 7\n", "7"),
        ("after:####", "#### 7\nQuestion\n#### 8", "8"),
        ("after:####", "nothing", None),
        ("after:####", "cut off ####", None),
        ("after:Answer:", "**Answer:** 42\nThat is all.", "42"),
        ("after:Answer:", "## answer:\n\n**Paris**\n", "Paris"),
        ("after:answer is", "<think>the answer is 1</think>The answer is: 2", "2"),
        ("last_number", "It is 3, or rather 42.", "42"),
        ("last_number", "a total of $1,234.50 per day.", "1,234.50"),
        ("last_number", "1,2,3", "3"),
        ("last_number", "10-5", "5"),
        ("last_number", "x = -5", "-5"),
        ("last_number", "−\\$5 and", "−5"),
        ("last_number", "it rose by 12.5%", "12.5%"),
        ("last_number", "or 3/4 of it", "3/4"),
        ("last_number", r"= \frac{3}{4}$", r"\frac{3}{4}"),
        ("last_number", "about 1e-3 m", "1e-3"),
        ("last_number", "or .5", ".5"),
        ("last_number", "well...5", "5"),
        ("last_number", "7 in version v2.0 of x2, 5cm^3", "5"),
        ("last_number", "no digits, only answer2", None),
        ("last_number", "<think>5</think> five", None),
        ("code_block", "a\n```python\nx = 1\n```\nb\n```\nx = 2\n```\n```bash\nls\n```", "x = 2"),
        ("code_block", "x = 1", None),
        ("code_block", "```bash\nls\n```", None),
        ("code_block", "```python\nx = 1", "x = 1"),
        ("text", "<think>so</think> Paris. ", "Paris."),
    ],
)
def test_each_place(place, text, answer):
    assert find(text, place) == answer


@pytest.mark.parametrize(
    ("expression", "text", "answer"),
    [
        (r"answer is \(?([A-E])\)?", "The answer is (A). No: the answer is (B).", "B"),
        (r"(?i)final: (.*)", "FINAL: a\nb", "a"),
        (r"(?s)<final>(.*)</final>", "<final>a\nb</final>", "a\nb"),
        (r"(\d+)", "<think>7</think> none", None),
        (r"x(\d+)?", "x1 x", "1"),
        (r"(.)$", "a\ud800", "?"),
    ],
)
def test_a_regular_expression_is_the_first_group_of_its_last_match(re2, expression, text, answer):
    assert find(text, f"regex:{expression}") == answer


def test_the_first_place_that_the_completion_has_counts():
    places = ("tags", "boxed", "last_number")
    assert find(r"<answer>1</answer> \boxed{2} 3", *places) == "1"
    assert find(r"\boxed{2} 3", *places) == "2"
    assert find("3", *places) == "3"
    assert find("<answer></answer> 3", *places) == ""
    assert find("none", *places) is None
    assert AnswerFinder(places).find_with_place("3") == ("3", "last_number")


def test_programs_keep_their_white_space():
    text = "Answer:\n    x = 1\n    y = 2\n"
    assert find(text, "after:answer:") == "x = 1"
    assert find(text, "after:answer:", verbatim=True) == "\n    x = 1\n    y = 2"
    assert extract_code(text, AnswerFinder(("after:answer:",), verbatim=True)) == "x = 1\ny = 2"
    chat = "Sure:\n```python\nx = 1\n```\nTry it:\n```python\nx = 2\n```"
    assert extract_code(chat, AnswerFinder(("code_block",), verbatim=True)) == "x = 2"
    assert extract_code(chat, AnswerFinder(("text",), verbatim=True)) == "x = 1\n\n\nx = 2"
    assert extract_code(chat) is None


def test_hostile_texts_take_no_quadratic_time(re2):
    places = ("boxed", "after:####", "last_number", "code_block", r"regex:((a+)+b)", r"regex:(a[^b]*b|c)")
    finder = AnswerFinder(places)
    for piece in ("a", "1,", "1,234,567", "\\boxed{", "####", "```\n", "{", "-", "\\frac{1}{", "1.", " ```"):
        finder.find(piece * (200_000 // len(piece)))


@given(st.lists(st.sampled_from(["<answer>", "</answer>", "<think>", "</think>", " ", "x", "\n"])).map("".join))
def test_the_default_is_the_last_answer_body(text):
    assert AnswerFinder().find(text) == last_answer(text)
    assert find(text, "tags", "text") == (strip_think(text) if last_answer(text) is None else last_answer(text))


@given(
    st.sampled_from(["tags", "boxed", "after:####", "after:The answer:", "last_number", "code_block", "text"]),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**6), max_value=10**6),
)
def test_a_written_completion_has_the_answer(place, number):
    finder = AnswerFinder((place,))
    assert finder.find(finder.completion_with(str(number))) == str(number)


def test_written_completions_of_a_regular_expression(re2):
    assert "#### 5" in AnswerFinder((r"regex:#### (\d+)",)).completion_with("5")
    # One that finds another answer is written, so that check reports it.
    finder = AnswerFinder((r"regex:#### (\d+)",))
    assert finder.find(finder.completion_with("1,234")) == "1"
    assert AnswerFinder(("regex:FINAL<<(.*)>>",)).completion_with("5") is None
    assert AnswerFinder(("regex:FINAL<<(.*)>>", "last_number")).completion_with("5") is not None


@pytest.mark.parametrize("place", ["tags", "after:####", "code_block", "text"])
def test_written_programs_are_found(place):
    program = "def f(x):\n    if x:\n        return 1\n    return 0"
    finder = AnswerFinder((place,), verbatim=True)
    assert extract_code(finder.completion_with(program, program=True), finder) == program


def settings_of(kind, places):
    return parse_reward({"kind": kind, "answer_from": places})


def test_one_place_or_a_list():
    assert settings_of("math_answer", "boxed").answer_from == ("boxed",)
    assert settings_of("short_answer", ["tags", "after:Answer:"]).answer_from == ("tags", "after:Answer:")
    assert parse_reward({"kind": "math_answer"}).answer_from == ("tags",)
    assert parse_reward({"kind": "pairwise_judge"}).answer_from == ("tags", "text")
    assert settings_of("unit_tests", "code_block").finder == AnswerFinder(("code_block",), verbatim=True)


@pytest.mark.parametrize(
    ("kind", "places", "message"),
    [
        ("math_answer", "boxd", "no place 'boxd'; did you mean 'boxed'?"),
        ("math_answer", [], "needs at least one place"),
        ("math_answer", "after:", "'after:' names no marker"),
        ("math_answer", ["text", "boxed"], "put 'text' last"),
        ("unit_tests", "last_number", "'last_number' makes no sense for this reward; known: tags, code_block, text"),
        ("pairwise_judge", "last_number", "makes no sense"),
    ],
)
def test_unusable_places_are_refused(kind, places, message):
    with pytest.raises(ValidationError) as caught:
        settings_of(kind, places)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("(", "not valid: missing \\)"),
        (r"(a)\1", "not valid: invalid escape sequence"),
        ("(?=a)(b)", "not valid: invalid perl operator"),
        ("answer", "has no group"),
    ],
)
def test_unusable_expressions_are_refused(re2, expression, message):
    with pytest.raises(ValidationError, match=message):
        settings_of("math_answer", f"regex:{expression}")


def test_math_is_scored_where_the_answer_is():
    from omnithinker.types import Prompt, Trajectory

    prompt = Prompt(task="t", index=0, text="", row={"answer": "so 9 * 2 = <<9*2=18>>18\n#### 18"})
    texts = ["<answer>18</answer>", "She makes $18 per day.", "18 of 20", "no number"]
    completions = [Trajectory(text=text) for text in texts]
    for places, values in [
        (("tags",), [1, 0, 0, 0]),
        (("last_number",), [1, 1, 0, 0]),
        (("after:makes", "tags"), [1, 1, 0, 0]),
    ]:
        assert MathAnswer(None, finder=AnswerFinder(places)).score_group(prompt, completions) == values
