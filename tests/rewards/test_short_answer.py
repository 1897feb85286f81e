"""The QA reward: normalisation, membership, options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnithinker.rewards.short_answer import ShortAnswer, normalize_answer
from omnithinker.types import Prompt, Trajectory, Undefined, Value


def score(row: dict[str, object], *bodies: str) -> list[Value]:
    group = [Trajectory(text=f"<think>Paris</think><answer>{body}</answer>") for body in bodies]
    return ShortAnswer().score_group(Prompt(task="qa", index=0, text="", row=row), group)


@pytest.mark.parametrize(
    "written",
    [
        "Paris",
        "paris",
        " PARIS ",
        "Paris.",
        '"Paris"',
        "'Paris'",
        "“Paris”",
        "‘Paris.’",
        "$Paris$",
        "Ｐａｒｉｓ",
        "*Paris*",
        "`Paris`.",
    ],
)
def test_ways_to_write_the_same_answer(written: str) -> None:
    assert normalize_answer(written) == "paris"
    assert score({"answer": "Paris"}, written) == [1]


@pytest.mark.parametrize(
    "written",
    ["Paris, France", "The answer is Paris", "A", "(A)", "1", "Pari", "Par is", "", "not Paris", "Paris London"],
)
def test_other_answers(written: str) -> None:
    assert score({"answer": "Paris"}, written) == [0]


def test_inner_signs_stay() -> None:
    assert normalize_answer("U.S. dollars ($).") == "u.s. dollars ($)"
    assert normalize_answer("O'Neil's") == "o'neil's"
    assert normalize_answer("3.5") == "3.5"
    assert normalize_answer("Straße") == normalize_answer("STRASSE")


def test_set_of_reference_answers() -> None:
    assert score({"answers": ["Paris", "City of Light"]}, "city  of\nlight", "Paris", "Rome") == [1, 1, 0]
    assert score({"answer": ["7", "seven"]}, "Seven", "8") == [1, 0]
    assert score({"answer": 7}, "7") == [1]


def test_answer_must_be_exactly_one_option_and_letters_are_refused() -> None:
    row = {"answer": "Paris", "options": ["Rome", "Paris", "Bern"]}
    assert score(row, "Paris", "Rome", "B", "2", "Paris Rome") == [1, 0, 0, 0, 0]
    vitamins = {"answer": "C", "options": ["A", "B", "C"]}
    assert score(vitamins, "C", "c.", "B") == [1, 1, 0]


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ({"answer": ""}, "gold_missing"),
        ({"answers": []}, "gold_missing"),
        ({"answer": "B", "options": ["Rome", "Paris"]}, "gold_not_among_options"),
        ({"answer": "Paris", "options": ["Paris", "paris."]}, "gold_not_among_options"),
    ],
)
def test_rows_that_nobody_can_answer_are_undefined(row: dict[str, object], cause: str) -> None:
    values = score(row, "Paris", "B")
    assert [value.cause for value in values if isinstance(value, Undefined)] == [cause, cause]


def test_only_the_answer_counts() -> None:
    prompt = Prompt(task="qa", index=0, text="", row={"answer": "Paris"})
    texts = ["Paris", "<think>Paris</think>", "<answer>Rome</answer><answer>Paris</answer>", "<answer>Paris"]
    assert ShortAnswer().score_group(prompt, [Trajectory(text=text) for text in texts]) == [0, 0, 1, 0]


@given(st.text(max_size=40))
def test_normalisation_is_idempotent_and_ignores_case_and_space(text: str) -> None:
    once = normalize_answer(text)
    assert normalize_answer(once) == once
    assert normalize_answer(f"  {text}\n") == once


@given(st.text(alphabet="abcAB .'\"$", min_size=1, max_size=12), st.text(alphabet="abcAB .'\"$", max_size=12))
def test_reward_is_equality_of_normal_forms(gold: str, answer: str) -> None:
    if normalize_answer(gold):
        assert score({"answer": gold}, answer) == [float(normalize_answer(gold) == normalize_answer(answer))]
