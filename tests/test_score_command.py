"""``omnithinker score``: details, tasks named by lines, constant memory, readers that leave early."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnithinker.cli import main
from omnithinker.cli.score import IN_FLIGHT, score_lines
from omnithinker.integrations.recipe_rewards import RecipeRewards

ROOT = Path(__file__).parent.parent
RECIPE = str(ROOT / "recipes" / "lab-quick.toml")
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
    assert answers[0]["details"] == {"unit_tests": {"program": None, "detail": "no program in an <answer>"}}
    assert answers[0]["reward"] == 0


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
        ({"answer": "1", "completion": ""}, 'standard input:1: no field "task" that names a task'),
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
    with RecipeRewards(RECIPE, explain=True) as rewards:
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
        "import json\nfrom tests.test_score_command import run_lines\n"
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
