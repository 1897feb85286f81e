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
        ({"answer": "Paris", "options": ["Paris", "Paris"]}, "gold_not_among_options"),
        ({"answer": "PARIS", "options": ["Paris", "paris."]}, "gold_not_among_options"),
        ({"answer": "Paris.", "options": ["Paris", "'Paris'"]}, "gold_not_among_options"),
    ],
)
def test_rows_that_nobody_can_answer_are_undefined(row: dict[str, object], cause: str) -> None:
    values = score(row, "Paris", "B")
    assert [value.cause for value in values if isinstance(value, Undefined)] == [cause, cause]


GENOTYPES = ["bb bb", "Bb BB", "Bb Bb", "Bb bb", "BB Bb", "bb Bb", "BB BB", "BB bb"]
LISTS = ["'1'", "0", "-1", "[1,2,3,4]", "1", "1.0"]


@pytest.mark.parametrize(
    ("options", "gold", "right", "wrong"),
    [
        (["10²", "102", "10^3"], "10²", ["10²", "10^2", "$10²$", "“10²”."], ["102", "10^3", "10"]),
        (["10²", "102"], "102", ["102", "102."], ["10²", "10^2"]),
        (["5 mA", "5 MA", "5 A"], "5 mA", ["5 mA", "5  mA.", "A) 5 mA"], ["5 MA", "5 ma", "5 Ma", "5 A"]),
        (
            GENOTYPES,
            "Bb Bb",
            ["Bb Bb", "“Bb Bb”", "(C) Bb Bb"],
            ["bb Bb", "BB Bb", "bb bb", "BB BB", "bB bB", "(A) Bb Bb"],
        ),
        (LISTS, "'1'", ["'1'", "A) '1'"], ["1", "1.0", '"1"', "E) 1"]),
        (LISTS, "1", ["1", "E) 1"], ["1.", "'1'", "1.0", "A) 1"]),
        (["CO", "Co", "co"], "Co", ["Co", "Co."], ["CO", "co", "cO"]),
        (["Paris", "Rome"], "Paris", ["paris", "PARIS", "Ｐａｒｉｓ"], ["rome", "Paris Rome"]),
        (["H₂O", "H2O2"], "H₂O", ["H₂O", "H2O"], ["H2O2", "H²O"]),
        (["x⁻¹", "x-1", "x1"], "x⁻¹", ["x⁻¹", "x^-1"], ["x-1", "x1"]),
        (["1½", "11/2"], "1½", ["1½", "1 1/2"], ["11/2"]),
        (["Paris", "paris.", "Rome"], "Paris", ["Paris"], ["paris.", "paris", "Rome"]),
        (["6ft", "6 ft", "6'", "6''", "6"], "6'", ["6'", "6’", "6′"], ["6''", "6″", "6", "6ft"]),
        (["A", "B", "C"], "C", ["C", "c", "C) C"], ["A", "A) C"]),
        (["A) Paris", "B) Rome"], "Paris", ["Paris", "A) Paris", "a. paris"], ["B) Paris", "A", "Rome"]),
        (["A) Paris", "B) Rome"], "B) Rome", ["Rome", "B) Rome"], ["A) Rome", "Paris"]),
    ],
)
def test_the_strictest_form_that_names_one_option_decides(
    options: list[str], gold: str, right: list[str], wrong: list[str]
) -> None:
    assert score({"answer": gold, "options": options}, *right, *wrong) == [1] * len(right) + [0] * len(wrong)


@pytest.mark.parametrize(
    "written",
    ["A) Paris", "(A) Paris", "A. Paris", "A: Paris", "a) paris", "[A] Paris", "Option A: Paris", "**A)** Paris",
     "A)Paris", "1) Paris", "1. Paris", r"\boxed{A) Paris}", "A – Paris"],
)  # fmt: skip
def test_a_letter_must_agree_with_its_option(written: str) -> None:
    assert score({"answer": "Paris", "options": ["Paris", "Rome"]}, written) == [1]
    assert score({"answer": "Paris", "options": ["Rome", "Paris"]}, written) == [0]
    assert score({"answer": "Paris"}, written) == [0]


@pytest.mark.parametrize(
    ("gold", "written"),
    [
        ("O'Neil's", "O’Neil’s"),
        ('the "New Deal"', "the “New Deal”"),
        ("-5", "−5"),
        ("1990-1995", "1990–1995"),
        ("Paris", "Pa\u200bris\ufeff"),
        ("Paris", "Paris\u200e"),
        ("cooperation", "co\u00adoperation"),
        ("Paris", r"\boxed{Paris}"),
        ("Paris", r"$\boxed{\text{Paris}}$."),
        ("Paris", "Paris。"),
        ("Paris", "Ｐａｒｉｓ．"),
        ("A, B", "A， B"),
        ("Paris", "Paris\u00a0"),
        ("Café", "Cafe\u0301"),
        ("wait...", "wait…"),
        ("1/2", "½"),
        ("x^2", "x²"),
        ("CO2", "CO₂"),
        ("'Paris'", "‘Paris’"),
        ("❤", "❤\ufe0f"),
    ],
)
def test_typographic_variants(gold: str, written: str) -> None:
    assert score({"answer": gold}, written) == [1]
    assert score({"answer": written}, gold) == [1]


@pytest.mark.parametrize(("gold", "written"), [("10²", "102"), ("1½", "11/2"), ("-5", "5"), ("x⁻¹", "x-1")])
def test_different_answers_are_not_merged(gold: str, written: str) -> None:
    assert score({"answer": gold}, written) == [0]


def test_long_answers_take_linear_time() -> None:
    for piece in ("'", "A) ", r"\boxed{", ". ", "*", "{", "⁻"):
        assert score({"answer": "Paris", "options": ["Paris", "Rome"]}, piece * (200_000 // len(piece))) == [0]


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
