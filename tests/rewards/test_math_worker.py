"""The verifier process's own steps: its faster parser and its numeric shortcut change no verdict."""

import json

import pytest
import sympy
from latex2sympy2_extended import latex2sympy2

from omnithinker.rewards import math_worker
from omnithinker.rewards.math_forms import for_algebra
from omnithinker.rewards.math_text import balanced, normalize, too_complex
from tests.builders import ROOT

TABLE = ROOT / "tests/golden" / "math_cases.jsonl"
TEXTS = sorted({for_algebra(normalize(json.loads(line)["answer"])) for line in TABLE.read_text("utf-8").splitlines()})
NAMED = ("gcd", "lcm")
SAMPLE = [
    text
    for text in TEXTS
    if len(text) > 4 and balanced(text) and not too_complex(text) and not any(name in text for name in NAMED)
][::3]


def tree(text: str) -> str:
    try:
        return str(sympy.srepr(latex2sympy2.latex2sympy(text, is_real=True)))
    except Exception as error:
        return type(error).__name__


@pytest.fixture
def own_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undoes what the worker changes in the library."""
    for name in ("PSParser", "_Latex2Sympy"):
        monkeypatch.setattr(latex2sympy2, name, getattr(latex2sympy2, name))


@pytest.mark.usefixtures("own_parser")
def test_faster_parser_reads_the_same() -> None:
    expected = {text: tree(text) for text in SAMPLE}
    math_worker.adapt_parser()
    assert len(expected) > 80
    assert {text: tree(text) for text in SAMPLE} == expected


@pytest.mark.usefixtures("own_parser")
@pytest.mark.parametrize("text", [r"\{x\mid x>3\}", "1+", "2 @ 3"])
def test_faster_parser_refuses_the_same(text: str) -> None:
    math_worker.adapt_parser()
    with pytest.raises(Exception, match=r"I don't understand|I expected"):
        latex2sympy2.latex2sympy(text, is_real=True)


@pytest.mark.usefixtures("own_parser")
@pytest.mark.parametrize("number", ["0", "7", "007", "1,234", "12345678901234567890", "0.25", "3.0"])
def test_faster_parser_reads_the_same_numbers(number: str) -> None:
    expected = latex2sympy2._Latex2Sympy().parse_number(number)
    math_worker.adapt_parser()
    fast = latex2sympy2._Latex2Sympy().parse_number(number)
    assert (sympy.srepr(fast), type(fast)) == (sympy.srepr(expected), type(expected))


@pytest.mark.usefixtures("own_parser")
def test_gcd_of_names_is_no_number() -> None:
    assert latex2sympy2.latex2sympy(r"\gcd(a,b)", is_real=True).doit() == 1
    math_worker.adapt_parser()
    read = {
        text: str(latex2sympy2.latex2sympy(text, is_real=True).doit())
        for text in (r"\gcd(b,a)", r"\operatorname{lcm}(a,b)", r"\gcd(12,18)", r"\gcd(x)")
    }
    assert list(read.values()) == ["gcd(a, b)", "lcm(a, b)", "6", "x"]


x, y = sympy.symbols("x y")
TINY = (x - 1) ** 24


@pytest.mark.parametrize(
    ("gold", "answer", "differ"),
    [
        (x + 1, x + 2, True),
        (x + 1, x + 1 + sympy.Rational(1, 10**4), True),
        (x + 1, x + 1 + sympy.Rational(1, 10**7), False),  # within the rounding of the comparison
        (x + y - y, x, False),
        (2 * x, 2 * y, True),
        (sympy.Integer(5), x * y, True),
        (x, x * y, False),  # a name against a product: may be a word, compared as text
        (TINY, sympy.expand(TINY), False),  # cancels to nothing in floating point
        (sympy.expand(TINY), sympy.expand(TINY) + sympy.Rational(1, 100), True),
        (sympy.Symbol("x", real=True) + 1, x + 1, False),  # the same name read as real and as complex
        (sympy.Tuple(1, 2 * x), sympy.Tuple(1, x + 1), True),
        (sympy.Tuple(1, x), sympy.Tuple(1, x), False),
        (sympy.Tuple(1, x), sympy.Tuple(1, x, 3), False),
        (sympy.Tuple(1, 2), sympy.Integer(3), False),
        (sympy.Interval(0, 1), sympy.Interval(0, 2), False),
        (sympy.zoo * x, x + 1, False),
    ],
)
def test_only_a_clear_difference_at_a_point_decides(gold: sympy.Basic, answer: sympy.Basic, differ: bool) -> None:
    assert math_worker.differ_in_value(gold, answer) is differ
