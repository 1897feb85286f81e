"""Cheats fail on tests of every kind; constant programs detect worthless tests."""

from __future__ import annotations

import pytest

from omnithinker.sandbox import SandboxSettings, Status, open_sandbox, parse_tests
from omnithinker.sandbox.cheats import SLOW, cheats, constant_programs

KINDS = {
    "calls": ({"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]}, "def add(a, b): return a + b"),
    "method": (
        {"fn_name": "Solution.add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]},
        "class Solution:\n    def add(self, a, b): return a + b",
    ),
    "stdio": ({"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}, "print(sum(map(int, input().split())))"),
    "asserts": (
        ["x = add(1, 2)\nassert x == 3", "assert abs(add(3, 4) - 7) < 1e-6"],
        "def add(a, b): return a + b",
    ),
    "check": (
        {"test": "def check(candidate):\n    x = candidate(1)\n    assert x == 2\n", "entry_point": "inc"},
        "def inc(x): return x + 1",
    ),
    "check of a method": (
        {"functional": "def check(f):\n    x = f(1)\n    assert x == 2\n    assert f(5) == 6\ncheck(Solution().inc)"},
        "class Solution:\n    def inc(self, x): return x + 1",
    ),
}


@pytest.fixture(scope="module")
def sandbox():
    with open_sandbox(SandboxSettings(slots=1, cpu_seconds=0.3)) as opened:
        yield opened


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_solution_passes(kind, sandbox):
    row, solution = KINDS[kind]
    tests = parse_tests(row)
    assert sandbox.run(solution, tests).status is Status.PASSED
    programs = cheats(tests)
    assert len(programs) >= 13
    assert set(SLOW) <= programs.keys()
    for name, program in programs.items():
        result = sandbox.run(program, tests)
        expected = (Status.CPU_LIMIT,) if name in SLOW else tuple(set(Status) - {Status.PASSED, Status.CPU_LIMIT})
        assert result.status in expected, (name, result)
        assert result.status not in (Status.SANDBOX_ERROR, Status.INVALID_TASK), (name, result)
        assert result.status is not Status.COMPILE_ERROR, (name, result)
        assert "NameError" not in result.detail or name in ("empty program",), (name, result)


def test_hard_coded_value_passes_only_its_own_test(sandbox):
    tests = parse_tests(KINDS["calls"][0])
    result = sandbox.run(cheats(tests)["first expected value"], tests)
    assert [test.status for test in result.tests] == [Status.PASSED, Status.FAILED]


@pytest.mark.parametrize(
    ("row", "passes"),
    [
        ({"fn_name": "f", "inputs": [[1], [2]], "outputs": [3, 3]}, True),
        ({"fn_name": "f", "inputs": [[1], [2]], "outputs": [3, 4]}, False),
        ({"inputs": ["1", "2"], "outputs": ["yes\n", "yes"]}, True),
        ({"inputs": ["1", "2"], "outputs": ["yes\n", "no"]}, False),
        (["assert f(1)", "assert f(2)"], True),
        (["assert f(1)", "assert not f(2)"], False),
    ],
)
def test_constant_programs_detect_worthless_tests(row, passes, sandbox):
    tests = parse_tests(row)
    statuses = [sandbox.run(program, tests).status for program in constant_programs(tests)]
    assert (Status.PASSED in statuses) is passes
