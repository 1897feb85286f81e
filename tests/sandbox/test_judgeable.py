"""Source tests that no judge can run are invalid; names of the program; a wrong program is never undefined."""

from __future__ import annotations

import pytest

from omnithinker.sandbox import AssertTests, SandboxSettings, Status, open_sandbox
from omnithinker.sandbox.assemble import judge_request
from omnithinker.sandbox.judgeable import NotJudgeable


@pytest.fixture(scope="module")
def sandbox():
    with open_sandbox(SandboxSettings(slots=1, cpu_seconds=1)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("assert type(Card(2)).__name__ == 'Card'", "'type'"),
        ("s = make()\ns.push(1)\nassert type(s) is Stack", "line 3: 'type'"),
        ("import copy\ns = Stack()\nassert copy.deepcopy(s).pop() == 1", "'deepcopy'"),
        ("import pickle\nassert pickle.loads(pickle.dumps(Stack())).pop() == 1", "'dumps'"),
        ("assert sum([Money(1), Money(2)]).cents == 3", "'sum'"),
        ("with suppressed(KeyError):\n    raise KeyError(1)", "an exception raised in 'with'"),
        ("assert f.__name__ == 'f'", "'__name__'"),
        ("class Square(Shape):\n    pass\nassert Square().area() == 0", "a subclass"),
        ("import asyncio\nassert asyncio.run(fetch(1)) == 1", "'asyncio.run'"),
        ("assert f(lambda x: x) == 1", "a function as an argument"),
        ("assert f(len, [1]) == 1", "a function as an argument"),
        ("def g(x):\n    return x\nassert Solution().f(key=g) == 1", "a function as an argument"),
        ("s = Stack()\nassert s.map(lambda x: x) == 1", "a function as an argument"),
        ("assert lcm(1, 2) == product(1, 2)", "unclear which of lcm, product"),
        ("assert sum([1]) == max([1])", "unclear which of max, sum"),
    ],
)
def test_tests_that_no_judge_can_run_are_invalid(sandbox, source, message):
    tests = AssertTests((source,))
    with pytest.raises(NotJudgeable, match=message):
        judge_request(tests)
    result = sandbox.run("def f(*a): return 1", tests)
    assert result.status is Status.INVALID_TASK
    assert "invalid for this mode" in result.detail


@pytest.mark.parametrize(
    "source",
    [
        "assert Find_Max([1, 2]) == 2 and Find_Max([3]) + 1 == 4",
        "assert Solution().f([1], key=None) == sorted([1])",
        "s = Stack()\ns.push(1)\nassert len(s) == 1 and s[0] == 1 and str(s) == '1' and s.items == [1]",
        "assert isinstance(Stack(), Stack) and Stack() is not None and Stack() is not Stack()",
        "assert sorted(map(f, [2, 1]), key=lambda x: -x) == [2, 1]",
        "def check(candidate):\n    assert candidate(1) == sum([1])\ncheck(f)",
        "assert all(f(x) == len(x) for x in ([], [1]))",
        "for str in ('a', 'b'):\n    assert f(str) == str",
        "def check(list):\n    assert f(list) == 1\ncheck([])",
        "def f_is_right(x):\n    return f(x) == 1\nassert f_is_right(1)",
    ],
)
def test_other_tests_are_valid(source):
    judge_request(AssertTests((source,)))


@pytest.mark.parametrize(
    ("source", "code", "wrong"),
    [
        ("x = lcm(4, 6)\nassert x == 12", "def lcm(a, b): return 12", "def lcm(a, b): return 11"),
        ("x = product([2, 3])\nassert x == 6", "def product(x): return 6", "def prod(x): return 6"),
        ("x = sum('ab')\nassert x == 3", "def sum(x): return 3", "pass"),
        ("x = count([1, 1], 1)\nassert x == 2", "def count(x, y): return 2", "def count(x, y): return 1"),
        (
            "n = Node(5)\nn.insert(3)\nassert n.values() == [3, 5]",
            "class Node:\n    def __init__(self, v): self.v = [v]\n    def insert(self, v): self.v.insert(0, v)\n"
            "    def values(self): return self.v",
            "class Node:\n    def __init__(self, v): pass\n    def insert(self, v): pass\n    values = insert",
        ),
    ],
)
def test_program_may_share_names_with_the_preamble(sandbox, source, code, wrong):
    tests = AssertTests((source,))
    assert sandbox.run(code, tests).status is Status.PASSED
    assert sandbox.run(wrong, tests).status is Status.FAILED


def test_program_does_not_replace_names_of_tests_that_have_another(sandbox):
    tests = AssertTests(("assert gcd(f(1), 6) == 3",))
    assert sandbox.run("def f(x): return 3", tests).status is Status.PASSED
    assert sandbox.run("def gcd(*a): return 3\ndef f(x): return 1", tests).status is Status.FAILED


NESTED = "def f(x):\n    r = ()\n    for _ in range({}): r = {}\n    return r\n"


@pytest.mark.parametrize("depth", [100, 200, 300, 400, 500, 900, 5000])
@pytest.mark.parametrize("nest", ["(r,)", "[r]", "{0: r}", "{'r': r}"])
def test_nested_values_are_wrong_and_not_undefined(sandbox, depth, nest):
    code = NESTED.format(depth, nest)
    for source in ("x = f(f(1))\nassert x == 1", "x = f(1)\nf([x] * 2)\nassert f(x) == (1,)"):
        result = sandbox.run(code, AssertTests((source, "assert f(1) == f(2) == 3")))
        assert result.status in (Status.FAILED, Status.EARLY_EXIT, Status.RUNTIME_ERROR), result


@pytest.mark.parametrize(
    "value",
    ["{}", "[]", "''", "'\\ud800'", "10 ** 5000", "float('nan')", "object()", "len", "lambda: 1", "{1: f}", "f", "int"],
)
def test_values_of_other_types_are_wrong_and_not_undefined(sandbox, value):
    tests = AssertTests(("x = f(1)\nassert f(x.items) == 3", "assert f(f(1)) == 3 and f({f(1): f(1)}) == 3"))
    result = sandbox.run(f"def f(x):\n    return {value}", tests)
    assert result.status in (Status.FAILED, Status.EARLY_EXIT), result
