"""The math reward: a table of cases, exactness of the quick path, and what is undefined."""

import json
import random
import re
from collections.abc import Iterator
from fractions import Fraction

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from omnithinker.rewards.math_answer import MathAnswer, answer_text, gold_text, quick_verdict
from omnithinker.rewards.math_pool import Equality, MathPool
from omnithinker.rewards.math_text import as_number, balanced, last_boxed, normalize, too_complex
from omnithinker.types import Prompt, Trajectory, Undefined, Value
from tests.builders import ROOT

TABLE = ROOT / "tests/golden" / "math_cases.jsonl"
CASES = [json.loads(line) for line in TABLE.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def pool() -> Iterator[MathPool]:
    with MathPool(1, cpu_seconds=5.0) as pool:
        yield pool


def score(reward: MathAnswer, gold: object, *texts: str) -> list[Value]:
    prompt = Prompt(task="math", index=3, text="", row={"answer": gold})
    return reward.score_group(prompt, [Trajectory(text=text) for text in texts])


def outcome(value: Value) -> str:
    if isinstance(value, Undefined):
        return value.cause
    return {1.0: "equal", 0.0: "different"}[value]


def test_table_is_large_and_without_repetition() -> None:
    assert len(CASES) >= 250
    assert len({(case["gold"], case["answer"]) for case in CASES}) == len(CASES)


def test_table_of_cases(pool: MathPool) -> None:
    reward = MathAnswer(pool)
    wrong = []
    for case in CASES:
        got = outcome(score(reward, case["gold"], f"<answer>{case['answer']}</answer>")[0])
        if got != case["verdict"]:
            wrong.append(f"{case['kind']}: {case['gold']} | {case['answer']}: {got}, not {case['verdict']}")
    assert wrong == []


DECORATIONS = [
    r"\boxed{%s}", "$%s$", r"\(%s\)", "%s.", "The answer is $%s$.", r"So the final answer is \boxed{%s}.", " %s\n",
    r"$$\boxed{%s}$$", "**%s**", r"\displaystyle %s", r"\[ %s \]", "Answer: %s",
]  # fmt: skip
PLAIN = re.compile(r"[^$`*]+")


@pytest.mark.parametrize("decoration", DECORATIONS)
def test_decoration_changes_nothing(decoration: str) -> None:
    changed = []
    plain = (case for case in CASES if case["verdict"] != "gold_unparseable" and case["kind"] != "boxes and prose")
    for answer in {case["answer"] for case in plain}:
        if not PLAIN.fullmatch(answer) or re.search(r"answer|boxed|\\[(\[]|^The |^either|\.$", answer, re.IGNORECASE):
            continue  # decorated already
        if balanced(answer) and answer_text(decoration % answer) != answer_text(answer):
            changed.append((answer, answer_text(answer), answer_text(decoration % answer)))
    assert changed == []


def random_expression(rng: random.Random, depth: int) -> sympy.Expr:
    if depth == 0:
        leaves = [*sympy.symbols("x y n a"), sympy.Integer(rng.randint(1, 9)), sympy.pi]
        return rng.choice(
            [*leaves, sympy.Rational(rng.randint(1, 9), rng.randint(2, 9)), sympy.sqrt(rng.randint(2, 7))]
        )
    left, right = random_expression(rng, depth - 1), random_expression(rng, depth - 1)
    return rng.choice([left + right, left - right, left * right, left / (right or 1), left**2, left**3])


def test_random_expressions_in_other_forms(pool: MathPool) -> None:
    reward, rng = MathAnswer(pool), random.Random(0)
    for _ in range(40):
        gold = random_expression(rng, rng.randint(1, 3))
        other = rng.choice([sympy.expand, sympy.factor, sympy.together])(gold)
        wrong = other + rng.choice([1, sympy.Symbol("x"), sympy.Rational(1, 2)])
        texts = [f"<answer>${sympy.latex(expression)}$</answer>" for expression in (other, wrong)]
        assert score(reward, sympy.latex(gold), *texts) == [1, 0], sympy.latex(gold)


def test_only_the_last_answer_body_counts(pool: MathPool) -> None:
    values = score(
        MathAnswer(pool),
        "12",
        "<think>maybe 12</think><answer>13</answer>",
        "<think>maybe 13</think><answer>12</answer>",
        "<answer>13</answer><answer>12</answer>",
        "12",
        "<answer>12",
        "<answer></answer>",
        "",
    )
    assert values == [0, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("gold", "normal"),
    [
        (12, "12"),
        (0.5, "0.5"),
        ("12 + 3 = <<12+3=15>>15\n#### 1,234", "1,234"),
        (r"So we get $\boxed{\dfrac34}$.", r"\frac{3}{4}"),
        ("<think>...</think><answer>7</answer>", "7"),
    ],
)
def test_gold_answer_is_taken_from_numbers_and_worked_solutions(gold: object, normal: str) -> None:
    assert gold_text({"answer": gold}) == normal


def test_unparseable_gold_is_undefined_and_silence_is_zero(pool: MathPool) -> None:
    first, second = score(MathAnswer(pool), r"\frac{1}{", "<answer>5</answer>", "no answer")
    assert isinstance(first, Undefined)
    assert first.cause == "gold_unparseable"
    assert second == 0


@given(st.fractions(), st.fractions())
def test_fractions_are_compared_exactly(gold: Fraction, answer: Fraction) -> None:
    expected = Equality.EQUAL if gold == answer else Equality.DIFFERENT
    assert quick_verdict(normalize(str(gold)), normalize(f"{answer.numerator}/{answer.denominator}")) is expected


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6), st.integers(2, 9))
def test_ways_to_write_a_fraction(numerator: int, denominator: int, scale: int) -> None:
    value = Fraction(numerator, denominator)
    assert as_number(normalize(rf"\dfrac{{{numerator * scale}}}{{{denominator * scale}}}")) == value
    assert as_number(normalize(f"${numerator} / {denominator}$")) == value
    assert as_number(normalize(f"{numerator:,}")) == numerator


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_decimals_are_exact(value: object) -> None:
    assert as_number(normalize(f"{value}")) == Fraction(str(value))


@given(st.text(max_size=60))
def test_text_equals_itself(text: str) -> None:
    normal = normalize(text)
    if normal:
        verdict = quick_verdict(normal, normal)
        # Algebra is asked at most for its value.
        assert verdict is Equality.EQUAL or verdict[0] == verdict[1]


@given(st.text(alphabet=r"\{}$()[]<>=,.%^_ 0123456789abcxyztextfrac", max_size=80), st.text(max_size=30))
def test_the_quick_path_takes_any_text(gold: str, answer: str) -> None:
    verdict = quick_verdict(normalize(gold), normalize(answer))
    assert isinstance(verdict, Equality | tuple)


def test_last_box_and_complexity() -> None:
    assert last_boxed(r"\boxed{1} and \boxed{\frac{1}{2}}") == r"\frac{1}{2}"
    assert last_boxed(r"\boxed{\{1\}}") == r"\{1\}"
    assert last_boxed(r"\boxed{1") is None
    assert too_complex("9^{9^9}")
    assert too_complex("2**3**4")
    assert too_complex("10000!")
    assert too_complex("x" * 513)
    assert not too_complex("x^{10}+12345")


def test_long_answers_take_linear_time() -> None:
    # Each is a megabyte; anything quadratic would not end.
    for piece in (r"\boxed{", "$", "(", "1,", r"\text{", "a ", "1 ", "{", r"\frac{", r"\(", "$x$ is ", "x is $5$ or "):
        text = piece * (1_000_000 // len(piece))
        assert quick_verdict("5", normalize(text)) is Equality.DIFFERENT
        assert quick_verdict("5", answer_text(text)) is not Equality.EQUAL


def test_pairs_that_need_no_algebra_start_no_process() -> None:
    with MathPool(1) as pool:
        assert score(MathAnswer(pool), "1/2", "<answer>0.5</answer>", "<answer>2</answer>") == [1, 0]
        assert pool.started == 0
