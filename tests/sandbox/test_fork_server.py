"""The default backend: verdicts, limits and concurrency."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from omnithinker.errors import SandboxError
from omnithinker.sandbox import (
    AssertTests,
    Call,
    CallTests,
    SandboxSettings,
    Status,
    StdioTests,
    open_sandbox,
    parse_tests,
)

ADD = parse_tests({"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]})


@pytest.fixture(scope="module")
def sandbox():
    with open_sandbox(SandboxSettings(slots=2, cpu_seconds=1)) as opened:
        yield opened


def test_level_and_layers_are_verified(sandbox):
    assert sandbox.level == "strong"
    assert {"rlimits", "no_new_privs", "seccomp"} <= set(sandbox.layers)
    assert any(layer.startswith("landlock") for layer in sandbox.layers)
    assert sandbox.slots == 2


def test_correct_program_passes(sandbox):
    result = sandbox.run("def add(a, b):\n    return a + b", ADD)
    assert (result.status, result.passed, result.total) == (Status.PASSED, 2, 2)
    assert [test.got for test in result.tests] == ["3", "7"]
    assert result.cpu_s > 0
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("code", "status", "passed"),
    [
        ("def add(a, b):\n    return 3", Status.FAILED, 1),
        ("def add(a, b:\n    return 3", Status.COMPILE_ERROR, 0),
        ("def add(a, b):\n    return a / (b - 4)", Status.FAILED, 0),
        ("def add(a, b):\n    return (a + b) if b != 4 else 1 / 0", Status.RUNTIME_ERROR, 1),
        ("raise ValueError('x')", Status.RUNTIME_ERROR, 0),
        ("def sub(a, b):\n    return 3", Status.RUNTIME_ERROR, 0),
        ("def add(a, b):\n    return [0] * 10**9", Status.MEMORY_LIMIT, 0),
        ("def add(a, b):\n    while True: pass", Status.CPU_LIMIT, 0),
        ("import os\nos._exit(0)", Status.EARLY_EXIT, 0),
        ("import sys\nsys.exit(0)", Status.EARLY_EXIT, 0),
        ("import ctypes\nctypes.string_at(0)", Status.CRASHED, 0),
        ("print('x' * 10**8)\ndef add(a, b):\n    return a + b", Status.OUTPUT_LIMIT, 0),
    ],
)
def test_status(sandbox, code, status, passed):
    result = sandbox.run(code, ADD)
    assert (result.status, result.passed) == (status, passed)
    assert result.detail


def test_result_reports_resources_and_output(sandbox):
    code = (
        "import sys, time\nkept = bytearray(b'x') * (60 << 20)\n"
        "while time.process_time() < 0.1: pass\n"
        "print('first' + '.' * 9000 + 'last')\nprint('complaint', file=sys.stderr)\ndef add(a, b): return a + b"
    )
    result = sandbox.run(code, ADD)
    assert result.status is Status.PASSED
    assert (result.exit_code, result.signal, result.retries) == (0, None, 0)
    assert result.truncated
    assert result.stdout.startswith("first..")
    assert result.stdout.endswith("..last\n")
    assert len(result.stdout) < 4200
    assert result.stderr == "complaint\n"
    assert 0.1 <= result.cpu_s <= result.wall_s + 0.02  # two clocks
    assert 60 < result.peak_rss_mb < 200
    assert (result.backend, result.layers) == ("fork_server", sandbox.layers)
    assert [test.index for test in result.tests] == [0, 1]
    assert all(0 <= test.wall_s <= result.wall_s for test in result.tests)


def test_result_reports_the_signal(sandbox):
    result = sandbox.run("import ctypes\nctypes.string_at(0)", ADD)
    assert (result.exit_code, result.signal, result.truncated) == (None, signal.SIGSEGV, False)


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("tests", "detail"),
    [
        (parse_tests(["assert f(...) == 1"]), "a value of type ellipsis is not plain data"),
        (CallTests("f", (Call((_nested(3000),), 1),)), "maximum recursion depth exceeded"),
        (StdioTests(("", ""), ("1", "x" * (4 << 20))), "an expected output has 4194304 bytes"),
        (AssertTests(("assert f(1) ==",)), "the tests are not valid Python: invalid syntax"),
    ],
)
def test_tests_that_cannot_run_are_an_invalid_task(sandbox, tests, detail):
    result = sandbox.run("def f(x): return x", tests)
    assert (result.status, result.passed, result.retries) == (Status.INVALID_TASK, 0, 0)
    assert detail in result.detail


def test_solution_method_gets_a_new_object_per_call(sandbox):
    code = "class Solution:\n    def __init__(self):\n        self.n = 0\n    def add(self, a, b):\n"
    code += "        self.n += 1\n        return a + b if self.n == 1 else 0"
    assert sandbox.run(code, ADD).status is Status.PASSED


def test_stdio(sandbox):
    tests = parse_tests({"inputs": ["3 4\n", "1 1"], "outputs": ["7", "2\n"]})
    right = sandbox.run("print(sum(map(int, input().split())))", tests)
    assert (right.status, right.passed) == (Status.PASSED, 2)
    constant = sandbox.run("print(7)", tests)
    assert (constant.status, constant.passed) == (Status.FAILED, 1)
    assert sandbox.run("print(5)", tests, stop_early=True).tests[-1].index == 0
    assert (
        sandbox.run("import os\nprint(sum(map(int, os.read(0, 99).split())), flush=True)\nos._exit(0)", tests).passed
        == 2
    )
    assert sandbox.run("input(); input()", tests).status is Status.RUNTIME_ERROR


def test_many_threads_share_the_slots(sandbox):
    def one(number: int) -> Status:
        wrong = number % 3 == 0
        return sandbox.run(f"def add(a, b):\n    return a + b + {int(wrong)}", ADD).status

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(one, range(60)))
    assert statuses == [Status.FAILED if n % 3 == 0 else Status.PASSED for n in range(60)]


def test_a_dead_fork_server_is_replaced_within_the_run():
    with open_sandbox(SandboxSettings(slots=1)) as sandbox:
        os.kill(sandbox.processes[0], signal.SIGKILL)
        result = sandbox.run("def add(a, b):\n    return a + b", ADD)
        assert (result.status, result.retries) == (Status.PASSED, 1)


def test_closed_sandbox_raises():
    sandbox = open_sandbox(SandboxSettings(slots=1))
    sandbox.close()
    with pytest.raises(SandboxError, match="closed"):
        sandbox.run("x = 1", ADD)
