"""The portable slot: what macOS would use, run here by telling the sandbox that this is not Linux."""

from __future__ import annotations

import os

import pytest

from omnithinker.errors import SandboxUnavailable
from omnithinker.recipe import SandboxSettings
from omnithinker.sandbox import Status, open_sandbox, parse_tests

ADD = {"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]}


@pytest.fixture
def sandbox(monkeypatch):
    monkeypatch.setattr("omnithinker.sandbox.fork_server.sys.platform", "darwin")
    with open_sandbox(SandboxSettings(level="weak", slots=2, cpu_seconds=1)) as opened:
        monkeypatch.undo()
        yield opened


def test_level_is_weak_and_says_what_is_there(sandbox):
    assert sandbox.level == "weak"
    assert sandbox.layers == ("rlimits", "empty_environment")


def test_strong_is_refused_with_the_setting_that_allows_it(monkeypatch):
    monkeypatch.setattr("omnithinker.sandbox.fork_server.sys.platform", "darwin")
    with pytest.raises(SandboxUnavailable, match=r"needs Linux, this is darwin; .*sandbox\.level = 'weak'"):
        open_sandbox(SandboxSettings())


@pytest.mark.parametrize(
    ("code", "tests", "status"),
    [
        ("def add(a, b): return a + b", ADD, Status.PASSED),
        ("def add(a, b): return a - b", ADD, Status.FAILED),
        ("def add(a, b): raise SystemExit(0)", ADD, None),
        ("class E(int):\n    def __eq__(self, o): return True\ndef add(a, b): return E(0)", ADD, Status.FAILED),
        ("print(int(input()) * 2)", {"inputs": ["4\n"], "outputs": ["8\n"]}, Status.PASSED),
        ("print(int(input()) * 3)", {"inputs": ["4\n"], "outputs": ["8\n"]}, Status.FAILED),
        ("def f(x): return x + 1", ["assert f(1) == 2", "assert f(2) == 3"], Status.PASSED),
        ("def f(x): return x", ["assert f(1) == 2"], Status.FAILED),
        ("def add(a, b):\n    while True: pass", ADD, Status.CPU_LIMIT),
    ],
)
def test_verdicts(sandbox, code, tests, status):
    result = sandbox.run(code, parse_tests(tests))
    if status is None:
        assert result.status is not Status.PASSED
    else:
        assert result.status is status


def test_a_program_that_sleeps_is_ended_by_the_wall_clock(monkeypatch, sandbox):
    for slot in sandbox._slots:
        monkeypatch.setattr(type(slot.limits), "wall_seconds", 0.5)
    result = sandbox.run("import time\ndef add(a, b): time.sleep(600)", parse_tests(ADD))
    assert result.status is Status.TIMEOUT
    assert result.wall_s < 60


def test_the_environment_is_empty(monkeypatch, sandbox):
    monkeypatch.setenv("A_SECRET", "hunter2")
    code = "import os\ndef f(): return sorted(os.environ)"
    assert sandbox.run(code, parse_tests({"fn_name": "f", "inputs": [[]], "outputs": [[]]})).status is Status.PASSED
    assert os.environ["A_SECRET"] == "hunter2"


def test_output_floods_are_cut(sandbox):
    result = sandbox.run("while True: print('x' * 100000)", parse_tests({"inputs": [""], "outputs": [""]}))
    assert result.status is not Status.PASSED
    assert len(result.stdout) < 10_000
