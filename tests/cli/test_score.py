"""``omnithinker score``: details, tasks named by lines, constant memory, readers that leave early."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from omnithinker.cli import main
from omnithinker.cli.score import IN_FLIGHT, score_lines
from omnithinker.integrations.recipe_rewards import RecipeRewards
from tests.builders import ROOT

RECIPE = "lab-quick"
ADD = {"fn_name": "add", "inputs": [[1, 2], [3, 4], [5, 6]], "outputs": [3, 8, 11]}


def score(lines: list[dict], monkeypatch, capsys, *arguments: str) -> tuple[int, list[dict], str]:
    text = "\n".join(map(json.dumps, lines))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    code = main(["score", RECIPE, *arguments])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_every_test_of_a_program_is_shown(monkeypatch, capsys):
    program = "def add(a, b):\n    print('adding')\n    return a + b"
    line = {"tests": ADD, "completion": f"<answer>{program}</answer>"}
    code, answers, _ = score([line], monkeypatch, capsys, "--task", "code")
    assert code == 0
    details = answers[0]["details"]["unit_tests"]
    assert (details["status"], details["passed"], details["total"]) == ("failed", 2, 3)
    assert [test["status"] for test in details["tests"]] == ["passed", "failed", "passed"]
    assert [test["got"] for test in details["tests"]] == ["3", "7", "11"]
    assert details["program"] == program
    assert details["stdout"] == "adding\n" * 3
    assert details["cpu_s"] > 0
    assert details["trust"] == "isolated"


def test_a_completion_without_program_says_so(monkeypatch, capsys):
    _, answers, _ = score([{"tests": ADD, "completion": "add them"}], monkeypatch, capsys, "--task", "code")
    assert answers[0]["details"] == {
        "unit_tests": {"answer": None, "program": None, "detail": "no program in the answer"}
    }
    assert answers[0]["reward"] == 0


def test_the_answer_that_was_found_is_shown_per_component(monkeypatch, capsys):
    lines = [{"answer": "4", "completion": text} for text in ("<answer> 4 </answer>", "four", "<answer>5</answer>")]
    _, answers, _ = score(lines, monkeypatch, capsys, "--task", "math")
    assert [answer["details"]["math_answer"]["answer"] for answer in answers] == ["4", None, "5"]
    assert all("format" not in answer["details"] for answer in answers)


def test_undefined_says_why(monkeypatch, capsys):
    line = {"answer": "\\frac{", "completion": "<answer>3</answer>"}
    _, answers, _ = score([line], monkeypatch, capsys, "--task", "math")
    assert "gold '\\\\frac{'" in answers[0]["details"]["math_answer"]["undefined"]


def test_surrogates_do_not_break_the_output(monkeypatch, capsys):
    line = {"tests": ADD, "completion": "<answer># \ud800é</answer>"}
    code, answers, _ = score([line], monkeypatch, capsys, "--task", "code")
    assert code == 0
    assert answers[0]["details"]["unit_tests"]["program"] == "# \ud800é"


MIXED = [
    {"task": "qa", "answer": "Paris", "completion": "<answer>paris</answer>"},
    {"task": "math", "answer": "1/2", "completion": "<answer>0.5</answer>"},
    {"task": "qa", "answer": "Paris", "completion": "<answer>lyon</answer>"},
]


def test_lines_may_name_their_tasks(monkeypatch, capsys):
    code, answers, _ = score(MIXED, monkeypatch, capsys)
    assert code == 0
    assert [answer["correct"] for answer in answers] == [1, 1, 0]
    assert [next(iter(answer["components"])) for answer in answers] == ["short_answer", "math_answer", "short_answer"]


def test_the_argument_decides_over_the_field(monkeypatch, capsys):
    _, answers, _ = score(MIXED[:1], monkeypatch, capsys, "--task", "math")
    assert "math_answer" in answers[0]["components"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (MIXED[0] | {"task": "qaa"}, "standard input:1: no task 'qaa' in the recipe; did you mean 'qa'?"),
        ({"answer": "1", "completion": ""}, 'standard input:1: no field "task"; add it'),
    ],
)
def test_a_line_without_a_known_task_is_bad_input(line, message, monkeypatch, capsys):
    code, answers, err = score([line], monkeypatch, capsys)
    assert (code, answers) == (2, [])
    assert message in err


def test_a_recipe_of_one_task_needs_no_name(tmp_path, monkeypatch, capsys):
    recipe = tmp_path / "one.toml"
    recipe.write_text('[tasks.only]\ndata = "lab:qa"\nrewards.short_answer = 1.0\n')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(MIXED[0]).encode())))
    assert main(["score", str(recipe)]) == 0
    assert json.loads(capsys.readouterr().out)["reward"] == 1


def qa_lines(count: int, consumed: list[int]) -> Iterator[bytes]:
    for number in range(count):
        consumed[0] += 1
        row = {"answer": str(number), "completion": f"<answer>{number % 7}</answer>"}
        yield json.dumps(row).encode()


def run_lines(count: int) -> tuple[int, int]:
    """Most lines read but not answered, and the most memory held, bytes."""
    consumed, answered, most = [0], 0, 0
    with RecipeRewards(RECIPE, details=True) as rewards:
        tracemalloc.start()
        for answer in score_lines(qa_lines(count, consumed), rewards, "qa", "lines", keep_going=False):
            assert answer["correct"] == float(answered < 7)  # line k says k % 7: in order, the first seven are right
            answered += 1
            most = max(most, consumed[0] - answered)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert answered == count
    return most, peak


def test_ten_thousand_lines_need_no_more_memory_than_a_thousand():
    # In a process of its own: what other tests left behind is freed at any time.
    code = (
        "import json\nfrom tests.cli.test_score import run_lines\n"
        "run_lines(200)\n"  # what is allocated once
        "print(json.dumps([run_lines(1_000), run_lines(10_000)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    few, many = json.loads(done.stdout)
    assert max(few[0], many[0]) < IN_FLIGHT
    # 64 lines in flight hold less than a megabyte; 10,000 answers kept would be more than 10 MB.
    assert many[1] < few[1] + 1_000_000


def test_a_reader_that_leaves_early_is_no_error():
    lines = "\n".join(json.dumps(MIXED[0]) for _ in range(3_000))
    command = f"{sys.executable} -m omnithinker score {RECIPE} --task qa | head -n 2; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], input=lines, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["correct"] for line in done.stdout.splitlines()] == [1, 1]


OWN = """
import asyncio

together = asyncio.Barrier(8)

async def crowd(completions, **columns):
    await together.wait()
    return [float(text) for text in completions]

def echo(completions, **columns):
    return [float(text) for text in completions]
"""


@pytest.fixture
def own(tmp_path) -> Path:
    """A recipe whose task ``echo`` gives a completion the value that it names, and ``crowd`` waits for eight lines."""
    (tmp_path / "own.py").write_text(OWN)
    recipe = tmp_path / "own.toml"
    tasks = (f'[tasks.{name}]\ndata = "lab:qa"\nrewards.it = {{kind = "python:own.py:{name}"}}\n' for name in OWN_TASKS)
    recipe.write_text("".join(tasks))
    return recipe


OWN_TASKS = ("echo", "crowd")


@contextmanager
def co_process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``omnithinker score`` at the other end of pipes; ended after two minutes, so that no test waits for ever."""
    command = [sys.executable, "-m", "omnithinker", "score", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        guard = threading.Timer(120, process.kill)
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            process.kill()


def tell(process: subprocess.Popen[str], line: object) -> None:
    process.stdin.write(json.dumps(line) + "\n")
    process.stdin.flush()


def test_every_answer_comes_before_the_next_line_is_written(own):
    with co_process(str(own), "--task", "echo") as process:
        for value in ("0.25", "1", "0.5"):
            tell(process, {"completion": value})
            assert json.loads(process.stdout.readline())["reward"] == float(value)
        process.stdin.close()
        assert process.stdout.read() == ""
        assert (process.wait(), process.stderr.read()) == (0, "")


def test_the_program_in_docs_reads_every_answer():
    text = (ROOT / "docs" / "running.md").read_text()
    (program,) = re.findall(r"```python\n(import json, subprocess\n.*?)```", text, re.DOTALL)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    command = [sys.executable, "-c", program]
    environment = os.environ | {"PATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120)
    right, wrong = map(float, done.stdout.split())
    assert right - wrong == pytest.approx(1)


def test_a_bad_line_is_answered_at_once_too(own):
    with co_process(str(own), "--task", "echo", "--keep-going") as process:
        tell(process, {"text": "0.5"})
        assert "standard input:1: expected a JSON object" in json.loads(process.stdout.readline())["error"]
        tell(process, {"completion": "0.5"})
        assert json.loads(process.stdout.readline())["reward"] == 0.5


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ({"text": "0.5"}, 2, "standard input:2: expected a JSON object"),
        ({"completion": "no number"}, 1, "reward 'it' of task 'echo' failed on row 1: ValueError"),
    ],
)
def test_an_error_ends_it_while_the_writer_waits(own, line, code, message):
    with co_process(str(own), "--task", "echo") as process:
        tell(process, {"completion": "0.5"})
        assert json.loads(process.stdout.readline())["reward"] == 0.5
        tell(process, line)
        # Standard input stays open: nobody says that no more lines will come.
        assert process.wait() == code
        said = process.stderr.read()
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_while_it_waits_for_a_line(own, number):
    with co_process(str(own), "--task", "echo") as process:
        tell(process, {"completion": "0.5"})
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait() == 130
        assert process.stderr.read() == "\nomnithinker score: interrupted\n"


def test_lines_that_are_there_are_scored_side_by_side_and_answered_in_order(own):
    with co_process(str(own), "--task", "crowd") as process:
        for value in range(16):
            tell(process, {"completion": str(value)})
        # No line is scored before seven others are being scored; the writer has not said that there are no more.
        assert [json.loads(process.stdout.readline())["reward"] for _ in range(16)] == list(range(16))


def test_a_pipe_in_place_of_a_file_holds_nothing_up(own, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with co_process(str(own), "--task", "echo", "--input", str(pipe)) as process, pipe.open("r+b", buffering=0) as end:
        end.write(b'{"completion": "0.5"}\n{}\n')
        assert json.loads(process.stdout.readline())["reward"] == 0.5
        assert process.wait() == 2
        assert f"{pipe}:2: expected a JSON object" in process.stderr.read()


def test_a_file_that_cannot_be_read_is_bad_input(own, tmp_path, capsys):
    assert main(["score", str(own), "--task", "echo", "--input", str(tmp_path)]) == 2
    assert f"{tmp_path}: cannot be read: Is a directory" in capsys.readouterr().err
