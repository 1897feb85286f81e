"""Tests that are source code: they run in the judge, the program runs in the solver."""

from __future__ import annotations

import pytest

from omnithinker.sandbox import AssertTests, SandboxSettings, Status, Trust, open_sandbox, parse_tests


@pytest.fixture(scope="module")
def sandbox():
    with open_sandbox(SandboxSettings(slots=1, cpu_seconds=1)) as opened:
        yield opened


SORT = "def check(candidate):\n    x = [3, 1, 2]\n    candidate(x)\n    assert x == [1, 2, 3]\ncheck(Solution().sort)"
REVERSE = (
    "def check(candidate):\n    assert is_same_list(candidate(list_node([1, 2, 3])), list_node([3, 2, 1]))\n"
    "check(Solution().reverse)"
)
INVERT = (
    "def check(candidate):\n    root = tree_node([4, 2, 7, 1])\n    candidate(root)\n"
    "    assert is_same_tree(root, tree_node([4, 7, 2, None, None, None, 1]))\ncheck(Solution().invert)"
)
ADD = ["assert add(1, 2) == 3", "assert abs(add(0.1, 0.2) - 0.3) < 1e-6"]


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("def add(a, b):\n    return a + b", ADD),
        ("class Solution:\n    def sort(self, x):\n        x.sort()", {"functional": SORT}),
        (
            "class Solution:\n    def reverse(self, h):\n        p = None\n"
            "        while h:\n            h.next, p, h = p, h, h.next\n        return p",
            {"functional": REVERSE},
        ),
        (
            "class Solution:\n    def invert(self, t):\n        if t:\n            t.left, t.right = t.right, t.left\n"
            "            self.invert(t.left)\n            self.invert(t.right)\n        return t",
            {"functional": INVERT},
        ),
        ("def gen(n):\n    yield from range(n)", ["x = 3\nassert list(gen(x)) == [0, 1, 2]", "assert 2 in gen(3)"]),
        ("def f(x):\n    raise KeyError(x)", ["try:\n    f(1)\n    assert False\nexcept KeyError:\n    pass"]),
        (
            "class Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, v):\n"
            "        self.items.append(v)\n    def __len__(self):\n        return len(self.items)",
            ["s = Stack()\ns.push(3)\nassert len(s) == 1 and s.items == [3] and isinstance(s, Stack)"],
        ),
    ],
)
def test_correct_programs_pass(sandbox, code, tests):
    result = sandbox.run(code, parse_tests(tests))
    assert (result.status, result.detail) == (Status.PASSED, "")
    assert result.trust is Trust.JUDGE


EQUAL = "class E(int):\n    def __eq__(self, o): return True\n    __ne__ = lambda self, o: False\n"


@pytest.mark.parametrize(
    ("code", "tests", "status"),
    [
        ("def add(a, b):\n    return a - b", ADD, Status.FAILED),
        (EQUAL + "def add(a, b):\n    return E(9)", ADD, Status.FAILED),
        ("class E:\n    def __eq__(self, o): return True\ndef add(a, b):\n    return E()", ADD, Status.FAILED),
        ("import os\ndef add(a, b):\n    os._exit(0)", ADD, Status.EARLY_EXIT),
        ("import sys\nsys.exit(0)", ADD, Status.EARLY_EXIT),
        ("def add(a, b:", ADD, Status.COMPILE_ERROR),
        ("1 / 0", ADD, Status.RUNTIME_ERROR),
        ("def add(a, b):\n    while True: pass", ADD, Status.CPU_LIMIT),
        ("def abs(x):\n    return 0\ndef add(a, b):\n    return 3", ADD, Status.FAILED),
        (
            "def is_same_list(a, b):\n    return True\nclass Solution:\n    def reverse(self, h):\n        return h",
            {"functional": REVERSE},
            Status.FAILED,
        ),
        (
            "class C:\n    def __contains__(self, x): return True\n    def __iter__(self): return iter([1])\n"
            "def gen(n):\n    return C()",
            ["assert 2 in gen(3)", "x = 0"],
            Status.FAILED,
        ),
        ("def f(g):\n    return g(1)", ["assert f(lambda x: x) == 1"], Status.INVALID_TASK),
        ("def f():\n    return 1", ["x = 1\nassert x == 1"], Status.INVALID_TASK),
    ],
)
def test_other_programs_fail(sandbox, code, tests, status):
    tests = [test + "\nassert True" for test in tests] if isinstance(tests, list) else tests
    result = sandbox.run(code, parse_tests(tests))
    assert result.status is status
    assert result.detail


def test_entry_point_may_shadow_a_builtin(sandbox):
    tests = AssertTests(("assert candidate(2, 3) == 6",), entry_point="product")
    assert sandbox.run("def product(a, b):\n    return a * b", tests).status is Status.PASSED
    assert sandbox.run("def product(a, b):\n    return a + b", tests).status is Status.FAILED


def test_solver_that_floods_the_judge_fails(sandbox):
    code = "import os\nos.write(5, b'\\xff' * 60000)\ndef add(a, b):\n    return 3"
    assert sandbox.run(code, parse_tests(ADD)).status is Status.EARLY_EXIT
    forged = "import os, struct\nbody = b'{\"value\": 3}'\nos.write(5, (struct.pack('<I', len(body)) + body) * 9)"
    assert sandbox.run(forged, parse_tests(ADD)).status is not Status.PASSED
