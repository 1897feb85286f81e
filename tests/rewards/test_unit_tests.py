"""Code extraction and the reward's values."""

from __future__ import annotations

import json

import pytest

from omnithinker.config.file import load_recipe
from omnithinker.errors import DataError, SandboxError
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.unit_tests import UnitTests, extract_code
from omnithinker.sandbox import Result, SandboxSettings, Status, open_sandbox
from omnithinker.tasks.base import load_tasks
from omnithinker.types import Prompt, Trajectory, Undefined

TESTS = {"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]}
RIGHT = "<think>x</think><answer>def add(a, b):\n    return a + b</answer>"
WRONG = "<think>x</think><answer>def add(a, b):\n    return a - b</answer>"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no answer at all", None),
        ("<answer>  </answer>", None),
        ("<answer>x = 1</answer>", "x = 1"),
        ("<answer>\nif x:\n    y = 2\n</answer>", "if x:\n    y = 2"),
        ("<answer>\n    a = 1\n    if a:\n        b = 2\n</answer>", "a = 1\nif a:\n    b = 2"),
        ("<answer> a = 1\nb = 2 </answer>", "a = 1\nb = 2"),
        ("<answer>    a = 1\n    b = 2</answer>", "a = 1\nb = 2"),
        ("<answer> def f(x):\n    return x</answer>", "def f(x):\n   return x"),
        ("<answer>old = 1</answer> <answer>new = 2</answer>", "new = 2"),
        ("<answer>Look:\n```python\nx = 1\n```\ndone</answer>", "x = 1"),
        ("<answer>```py\na = 1\n```\nand\n```\nb = 2\n```</answer>", "a = 1\n\n\nb = 2"),
        ("<answer>```bash\nls\n```\n```python3\nx = 1\n```</answer>", "x = 1"),
        ("<answer>```bash\nls\n```</answer>", None),
        ("<answer>```python\nx = 1</answer>", "x = 1"),
    ],
)
def test_extraction_rule(text, code):
    assert extract_code(text) == code


class FakeSandbox:
    level, layers, slots = "strong", (), 2

    def __init__(self, status):
        self.status = status
        self.programs = []

    def run(self, code, tests, *, stop_early=False):
        self.programs.append(code)
        return Result(status=self.status, passed=0, total=2, detail="why")


def _group(*texts, tests=TESTS):
    return Prompt(task="code", index=0, text="", row={"tests": tests}), [Trajectory(text=text) for text in texts]


def test_group_with_a_real_sandbox():
    with open_sandbox(SandboxSettings(slots=2)) as sandbox:
        values = UnitTests(sandbox).score_group(*_group(RIGHT, WRONG, "nothing", RIGHT))
    assert values == [1.0, 0.0, 0.0, 1.0]


def test_outcomes_show_every_test():
    with open_sandbox(SandboxSettings(slots=1)) as sandbox:
        [result, nothing] = UnitTests(sandbox).outcomes(*_group(WRONG, "nothing"))
    assert nothing is None
    assert [(test.status, test.got) for test in result.tests] == [(Status.FAILED, "-1")] * 2


def test_equal_programs_run_once():
    sandbox = FakeSandbox(Status.PASSED)
    assert UnitTests(sandbox).score_group(*_group(RIGHT, WRONG, RIGHT)) == [1.0, 1.0, 1.0]
    assert len(sandbox.programs) == 2


def test_undefined_where_the_program_is_not_to_blame():
    [value] = UnitTests(FakeSandbox(Status.SANDBOX_ERROR)).score_group(*_group(RIGHT))
    assert value == Undefined("sandbox_error", "why")
    [value] = UnitTests(FakeSandbox(Status.PASSED)).score_group(*_group(RIGHT, tests={"inputs": [], "outputs": []}))
    assert isinstance(value, Undefined)
    assert value.cause == "invalid_tests"


def test_many_sandbox_failures_stop_the_run():
    reward = UnitTests(FakeSandbox(Status.SANDBOX_ERROR))
    for _ in range(2):
        reward.score_group(*_group(RIGHT))
    with pytest.raises(SandboxError, match="3 of 3 runs"):
        reward.score_group(*_group(RIGHT))


def test_few_sandbox_failures_among_many_runs_do_not():
    sandbox = FakeSandbox(Status.PASSED)
    reward = UnitTests(sandbox)
    for number in range(400):
        sandbox.status = Status.SANDBOX_ERROR if number % 100 == 99 else Status.PASSED
        reward.score_group(*_group(RIGHT))
    sandbox.status = Status.SANDBOX_ERROR
    with pytest.raises(SandboxError, match="5 of 401 runs"):
        reward.score_group(*_group(RIGHT))


def test_rows_that_cannot_be_judged_are_left_out_of_the_task(tmp_path):
    unittests = {"test": "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.fail()\n"}
    rows = [{"prompt": f"p{n}", "tests": ["x = f(1)\nassert x == 1"]} for n in range(30)]
    rows[25]["tests"] = ["assert f(lambda: 1) == 1"]
    rows[27]["tests"] = unittests
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = '[tasks.t]\ntrain = "rows.jsonl"\ntest = "rows.jsonl"\nrewards.unit_tests = 1.0\n'
    (tmp_path / "r.toml").write_text(recipe)

    def task(text):
        (tmp_path / "r.toml").write_text(text)
        with Resources(load_recipe(tmp_path / "r.toml")) as resources:
            return load_tasks(load_recipe(tmp_path / "r.toml"), resources)["t"]

    loaded = task(recipe)
    assert len(loaded.train) == len(loaded.test) == 28
    assert [row["prompt"] for row in rows if row not in loaded.train] == ["p25", "p27"]
    assert [line.partition(": ")[0].rpartition("/")[2] for line in loaded.unjudged] == [
        "rows.jsonl:26",
        "rows.jsonl:28",
    ] * 2
    assert len(task("sandbox.in_process_tests = true\n" + recipe).train) == 29
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows[25]))
    with pytest.raises(DataError, match=r"tasks.t: no train row can be judged; first .*rows.jsonl:1: .*a function as"):
        task(recipe)
