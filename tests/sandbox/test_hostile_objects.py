"""Programs that lie through the operators of their objects win nothing that a choice of plain values would not win."""

from __future__ import annotations

import pytest

from omnithinker.sandbox import AssertTests, SandboxSettings, Status, open_sandbox
from omnithinker.sandbox.objects import object_labels


@pytest.fixture(scope="module")
def sandbox():
    with open_sandbox(SandboxSettings(slots=1, cpu_seconds=1)) as opened:
        yield opened


LIAR = """
from unittest.mock import ANY, MagicMock
asked = []
class Liar:
    def __init__(self, *a, **k): pass
    def __getattr__(self, name): return Liar()
    def __call__(self, *a, **k): return Liar()
    def __iter__(self): return iter([Liar(), Liar()])
    def __getitem__(self, key): return Liar()
    def __enter__(self): return self
    def __exit__(self, *e): return True
    def __len__(self): return 2
    def __hash__(self): return hash(9)
    def __ne__(self, o): asked.append(o); return False
    def __abs__(self): return 0
    __round__ = __int__ = lambda self, *a: 0
    def __float__(self): return 0.0
    def __repr__(self): return "9"
def agree(self, other):
    asked.append(other)
    return True
for name in "eq lt le gt ge contains".split():
    setattr(Liar, f"__{name}__", agree)
def zero(self, other):
    asked.append(other)
    return 0
for name in "add sub mul truediv floordiv mod and or xor pow".split():
    setattr(Liar, f"__{name}__", zero)
    setattr(Liar, f"__r{name}__", zero)
f = g = find = make = Liar
def seen(): return [x for x in asked if type(x) is not Liar]
"""

USED = "f(1).root\nx = f(2).root\nx.leaf\n"
"""Shows that results of ``f`` are objects."""

PLAIN = [
    "f(3) == 9",
    "9 == f(3)",
    "not f(3) != 9",
    "8 < f(3) <= 9",
    "abs(f(3) - 9) < 1e-9",
    "abs(9 - f(3)) < 1e-9",
    "f(3) - 9 == 0",
    "not f(3) - 9",
    "f(3) // 9 == 0",
    "f(3) % 9 == 0",
    "9 in f(3)",
    "f(3) in (9, 10)",
    "f(3) in {9: 1}",
    "f(3) in {9}",
    "[f(3)] == [9]",
    "(f(3), 1) == (9, 1)",
    "{'a': f(3)} == {'a': 9}",
    "{f(3)} == {9}",
    "{9: 1}[f(3)] == 1",
    "{9: 1}.get(f(3)) == 1",
    "[9].count(f(3)) == 1",
    "[9].index(f(3)) == 0",
    "sorted([f(3), 5])[0] == 5",
    "max(f(3), 8) == 9",
    "list(f(3)) == [9, 10]",
    "all(a == b for a, b in zip(f(3), [9, 10]))",
    "f(3)[0] == 9",
    "f(3)[0] - 9 == 0",
    "len([x for x in f(3) if x == 9]) == 1",
    "f(3).root == 9",
    "f(3).root - 9 == 0",
    "f(3).size() == 9",
    "f(1)(2) == 9",
    "sum([f(3), f(4)]) == 9",
    "isinstance(f(3), int) and f(3) == 9",
    "__import__('math').isclose(f(3), 9)",
    "__import__('operator').eq(f(3), 9)",
    "(lambda value: value == 9)(f(3))",
    "any(value == 9 for value in [f(3)])",
    "set(f(3)) == {9}",
    "str(f(3).root) + '!' == '10!'",
    "(f(3) == 9) is True",
]


@pytest.mark.parametrize("used", ["", USED], ids=["unknown", "object"])
@pytest.mark.parametrize("expression", PLAIN)
def test_comparisons_of_results_with_plain_values_stay_in_the_judge(sandbox, expression, used):
    asked = f"try:\n    passed = bool({expression})\nexcept Exception:\n    passed = False\nassert not passed"
    values = "assert not any(value == 9 for value in seen()), 'the program was asked'"
    if expression not in ARITHMETIC:
        asked += f"\n{values}"
    result = sandbox.run(LIAR, AssertTests((used + asked,)))
    assert (result.status, result.detail) == (Status.PASSED, "")


ARITHMETIC = {e for e in PLAIN if any(sign in e for sign in (" - 9", "9 - ", "// 9", "% 9"))}
"""Operators that make objects are asked for; their answers count only if they are objects again."""


@pytest.mark.parametrize(
    ("program", "source"),
    [
        (
            "class T(tuple):\n    __eq__ = lambda s, o: True\n    x = 1\ndef f(n): return T((1,))",
            "f(1).x\n{} == (9, 1)",
        ),
        ("class D(dict):\n    __eq__ = lambda s, o: True\n    x = 1\ndef f(n): return D()", "f(1).x\n{} == dict(a=9)"),
        ("class I(int):\n    __eq__ = lambda s, o: True\n    x = 1\ndef f(n): return I()", "f(1).x\n{} == 9"),
        ("class I(int):\n    __sub__ = lambda s, o: 0\n    x = 1\ndef f(n): return I()", "f(1).x\nabs({} - 9) < 1e-6"),
        ("class S(str):\n    __contains__ = lambda s, o: True\n    x = 1\ndef f(n): return S()", "f(1).x\n'ab' in {}"),
        ("class L(list):\n    __contains__ = lambda s, o: True\n    x = 1\ndef f(n): return L()", "f(1).x\n9 in {}"),
        ("from unittest.mock import ANY\ndef f(n): return ANY", "f(1).x\n{} == 9"),
        ("from unittest.mock import MagicMock\ndef f(n): return MagicMock()", "f(1).x\n{} == 9"),
    ],
)
@pytest.mark.parametrize("used", [True, False])
def test_subclasses_of_plain_types_compare_by_their_plain_value(sandbox, program, source, used):
    evidence, expression = source.split("\n")
    test = (evidence + "\n" if used else "") + "assert " + expression.format("f(3)")
    assert sandbox.run(program, AssertTests((test,))).status is Status.FAILED


ADDER = """
class Always:
    __eq__ = lambda self, other: True
    total = 1
class Adder:
    def __init__(self, n): self.total = n
    def __call__(self, m): return Always()
    def plus(self, m): return Always()
    def __getitem__(self, key): return Always()
    def __iter__(self): return iter([Always()])
    def __enter__(self): return Always()
    def __add__(self, other): return Always()
    value = Always()
def make(n): return Always()
"""


@pytest.mark.parametrize(
    "expression",
    ["a(2)", "a.plus(2)", "a[0]", "list(a)[0]", "a.value", "(a + a)", "make(1)", "(lambda a: a)(make(1))"],
)
def test_what_an_object_returns_has_no_rights_of_its_class(sandbox, expression):
    source = f"a = Adder(1)\nassert a.total == 1\nassert {expression} == 9"
    assert sandbox.run(ADDER, AssertTests((source,))).status is Status.FAILED


NAMES = """
class Always:
    def __init__(self, n=0): self.total = 1
    def __call__(self, n): return Always()
    __eq__ = lambda self, other: True
class Adder(Always): pass
import gc
def f(n):
    for solver in gc.get_objects():
        if type(solver).__name__ == "Solver":
            solver._handle = lambda value: {"r": "Adder"} if value is Adder else type(solver)._handle(solver, value)
    return Adder
"""


def test_a_program_cannot_name_a_class_to_get_its_rights(sandbox):
    source = "assert Adder(1).total == 1\ng = f(1)\nassert g(2) == 9"
    assert sandbox.run(NAMES, AssertTests((source,))).status is not Status.PASSED


FORGED = """
import gc
def forge(answer):
    for solver in gc.get_objects():
        if type(solver).__name__ == "Solver":
            cls = type(solver)
            solver._answer = lambda request: answer if request["operation"] == "item" else cls._answer(solver, request)
def f(n):
    forge({"value": 1, "arguments": [{"t": []}, {"d": []}]})
    return object()
"""


def test_only_calls_change_arguments(sandbox):
    answer = '{"value": 1, "arguments": [[[1, 2]], {"d": []}]}'
    code = FORGED.replace('{"value": 1, "arguments": [{"t": []}, {"d": []}]}', answer)
    result = sandbox.run(code, AssertTests(("x = [9]\nf(1)[x]\nassert x == [9], x",)))
    assert (result.status, result.detail) == (Status.PASSED, "")


@pytest.mark.parametrize(
    "source",
    [
        "import contextlib\nwith contextlib.suppress(ValueError):\n    f(1)\nassert f(2) == 9",
        "with f(1) as v:\n    assert v == 9",
        "with f(1):\n    assert False",
        "import contextlib\nwith contextlib.ExitStack() as s:\n    v = s.enter_context(f(1))\n    assert v == 9",
        "import contextlib\nwith contextlib.closing(f(1)) as v:\n    assert v == 9",
        "import unittest\nunittest.TestCase().assertEqual(f(1), 9)\nassert True",
        "import unittest\nunittest.TestCase().assertAlmostEqual(f(1), 9)\nassert True",
        "import unittest\nunittest.TestCase().assertIn(9, f(1))\nassert True",
        "import unittest\nwith unittest.TestCase().assertRaises(ValueError):\n    f(1)\nassert True",
        "import unittest\nunittest.TestCase().assertCountEqual(f(1), [9, 10])\nassert True",
    ],
)
@pytest.mark.parametrize("used", ["", USED], ids=["unknown", "object"])
def test_contexts_and_assertions_of_unittest_cannot_be_deceived(sandbox, source, used):
    assert sandbox.run(LIAR, AssertTests((used + source,))).status is Status.FAILED


@pytest.mark.parametrize(
    ("source", "objects"),
    [
        ("def a():\n    r = f(1)\n    assert r == 9\ndef b(r):\n    r.push(1)", set()),
        ("r = f(1)\n[r.push(1) for r in [1]]", set()),
        ("r = f(1)\n(lambda r: r.push(1))(2)", set()),
        ("a, b = f(1), g(1)\nb.push(1)", {"g()"}),
        ("a, b = f(1)\nb.push(1)", {"f()[]"}),
        ("if (r := f(1)):\n    r.push(1)", {"f()"}),
        ("h = f\nh(1).push(1)", {"f()"}),
        ("f.cache", set()),
        ("def check(candidate):\n    candidate(1).push(1)\ncheck(candidate)", {"f()"}),
        ("f(1)(2).push(1)", {"f()()"}),
    ],
)
def test_labels_follow_scopes(source, objects):
    assert object_labels((source,), {"f", "g"}, "f")[0] == objects


def test_a_class_compared_by_identity_with_other_results_gets_their_rights():
    assert object_labels(("s = Stack()\nassert s.push(1) is s",), {"Stack"}) == ({"Stack()", ".push()"}, frozenset())
    assert object_labels(("assert Stack() is Stack()",), {"Stack"}) == ({"Stack()"}, {"Stack()"})
