"""Rows of LiveCodeBench, HumanEval and BigCodeBench."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnithinker.errors import DataError
from omnithinker.sandbox import (
    AssertTests,
    Call,
    CallTests,
    SandboxSettings,
    Status,
    StdioTests,
    Trust,
    UnittestTests,
    open_sandbox,
    parse_tests,
)

STDIN = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
FUNCTIONAL = [{"input": "[1, 2]\n3", "output": "6", "testtype": "functional"}]
DEEP = "[" * 100_000


def _packed(value):
    return _encoded(pickle.dumps(value))


def _encoded(data):
    return base64.b64encode(zlib.compress(data)).decode()


def test_live_code_bench_stdin():
    row = {"public_test_cases": json.dumps(STDIN), "private_test_cases": _packed(json.dumps(STDIN * 2))}
    assert parse_tests(row) == StdioTests(("1 2\n",) * 3, ("3\n",) * 3)


def test_live_code_bench_functional():
    row = {"public_test_cases": json.dumps(FUNCTIONAL), "metadata": json.dumps({"func_name": "total"})}
    assert parse_tests(row) == CallTests("total", (Call(([1, 2], 3), 6),))


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/omnithinker-pickle-ran",))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"private_test_cases": _packed(Evil())}, "holds more than a text .STACK_GLOBAL"),
        ({"private_test_cases": _packed(["x"])}, "holds more than a text .EMPTY_LIST"),
        ({"private_test_cases": _encoded(b"\x80\x04Va\nr\xff\xff\xff\x7f.")}, "not valid JSON"),  # a memo of 16 GiB
        ({"private_test_cases": _encoded(b"\x80\x04.")}, "holds 0 texts"),
        ({"private_test_cases": _encoded(b"\x80\x04Va\nVb\n.")}, "holds 2 texts"),
        ({"private_test_cases": "!!"}, "neither JSON nor in LiveCodeBench.s packed format"),
        ({"private_test_cases": DEEP}, "neither JSON nor"),
        ({"private_test_cases": _packed(DEEP)}, "not valid JSON"),
        ({"public_test_cases": json.dumps(FUNCTIONAL), "metadata": DEEP}, "not valid JSON"),
        ({"public_test_cases": json.dumps(FUNCTIONAL)}, "func_name"),
        ({"public_test_cases": "[]"}, "at least one test"),
        ({"public_test_cases": '[{"input": "1"}]'}, "needs 'input' and 'output'"),
        ({"public_test_cases": "{}"}, "not a list of cases"),
        ({"test": "def check(candidate):\n    assert candidate(1)"}, "entry_point"),
        ({"test": "x = 1"}, "neither a function 'check' nor"),
        ({"test": "def ("}, "does not parse"),
    ],
)
def test_error_messages_of_malformed_rows(row, message):
    with pytest.raises(DataError, match=message):
        parse_tests(row)
    assert not os.path.exists("/tmp/omnithinker-pickle-ran")


@given(st.data())
def test_a_damaged_pickle_is_a_malformed_row(data):
    text = bytearray(pickle.dumps(json.dumps(STDIN), protocol=data.draw(st.integers(0, 4))))
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DataError):
        parse_tests({"private_test_cases": _encoded(bytes(text))})


CHECK = "METADATA = {}\ndef check(candidate):\n    assert candidate([1.0, 2.0]) == 1.5\n"
CASES = """import unittest
class TestCases(unittest.TestCase):
    def test_one(self):
        self.assertEqual(task_func(1), 2)
    def test_two(self):
        with self.assertRaises(TypeError):
            task_func("x")
"""


@pytest.fixture(scope="module")
def sandbox():
    with open_sandbox(SandboxSettings(slots=1, cpu_seconds=1, in_process_tests=True)) as opened:
        yield opened


def test_human_eval(sandbox):
    tests = parse_tests({"test": CHECK, "entry_point": "mean"})
    assert isinstance(tests, AssertTests)
    assert sandbox.run("def mean(x):\n    return sum(x) / len(x)", tests).status is Status.PASSED
    assert sandbox.run("def mean(x):\n    return sum(x)", tests).status is Status.FAILED
    assert sandbox.run("mean = 1.5", tests).status is Status.FAILED


def test_unittest_results_are_marked_in_process(sandbox):
    tests = parse_tests({"test": CASES, "entry_point": "task_func"})
    assert tests == UnittestTests(CASES, ("TestCases.test_one", "TestCases.test_two"))
    right = sandbox.run("def task_func(n):\n    return n + 1", tests)
    assert (right.status, right.passed, right.trust) == (Status.PASSED, 2, Trust.IN_PROCESS)
    wrong = sandbox.run("def task_func(n):\n    return n", tests)
    assert (wrong.status, wrong.passed) == (Status.FAILED, 0)
    assert wrong.detail.startswith("TestCases.test_one: AssertionError: 1 != 2")


PATCHED = """import unittest
from unittest.mock import mock_open, patch
class TestCases(unittest.TestCase):
    def test_read(self):
        with patch("builtins.open", mock_open(read_data="1\\n2\\n")):
            self.assertEqual(task_func("numbers.txt"), 3)
    @patch("builtins.print")
    def test_print(self, printed):
        with patch("builtins.open", mock_open(read_data="5")):
            task_func("numbers.txt")
        printed.assert_called_once_with(5)
"""


def test_unittest_classes_patch_built_in_functions_of_the_program(sandbox):
    code = "def task_func(name):\n    with open(name) as f:\n        n = sum(map(int, f))\n    print(n)\n    return n"
    result = sandbox.run(code, parse_tests({"test": PATCHED}))
    assert (result.status, result.passed) == (Status.PASSED, 2), result.detail
    names = "def task_func(n):\n    assert __name__ == 'solution'\n    return reduce(max, [ceil(n)]) + 1"
    assert sandbox.run(names, parse_tests({"test": CASES})).status is Status.PASSED


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos._exit(0)",
        "import unittest\nunittest.TestCase.run = lambda self, result=None: result.addSuccess(self)",
        "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\nunittest.TestCase.fail = lambda *a: None\n"
        "def task_func(n):\n    raise TypeError",
        "import unittest, contextlib\nfor name in dir(unittest.TestCase):\n    if name.startswith('assert'):\n"
        "        setattr(unittest.TestCase, name, lambda *a, **k: contextlib.suppress(Exception))\n"
        "def task_func(n):\n    return n",
        "import unittest\nclass Never(Exception): pass\nunittest.TestCase.failureException = Never",
        "import unittest\nunittest.case._Outcome.testPartExecutor = __import__('contextlib').nullcontext",
        "import unittest\nclass E:\n    def __eq__(self, o): return True\ndef task_func(n):\n    return 1",
    ],
)
def test_plain_cheats_in_process_fail(sandbox, code):
    result = sandbox.run(code, parse_tests({"test": CASES}))
    assert result.status is not Status.PASSED


def test_unittest_classes_are_refused_by_default():
    with open_sandbox(SandboxSettings(slots=1)) as sandbox:
        result = sandbox.run("def task_func(n):\n    return n + 1", parse_tests({"test": CASES}))
    assert result.status is Status.INVALID_TASK
    assert "sandbox.in_process_tests = true" in result.detail
