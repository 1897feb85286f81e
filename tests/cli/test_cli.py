"""The command line: score's contract, help, exit codes, what starts without torch."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from omnithinker.cli import COMMANDS, main
from omnithinker.cli.evaluate import results_table
from omnithinker.types import EvalResult

RECIPE = "lab-quick"
GOOD = "<think> so </think> <answer> {} </answer>"
ADD = {"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]}


def score(task: str, lines: list[object], monkeypatch, capsys, *extra: str) -> tuple[int, list[dict], str]:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    code = main(["score", RECIPE, "--task", task, *extra])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


@pytest.mark.parametrize(
    ("task", "row", "right", "wrong"),
    [
        ("math", {"answer": "3/4"}, "0.75", "0.74"),
        ("code", {"tests": ADD}, "def add(a, b): return a + b", "def add(a, b): return a - b"),
        ("code", {"tests": json.dumps(ADD)}, "def add(a, b): return b + a", "def add(a, b): pass"),
        ("qa", {"answer": "Paris", "options": ["Paris", "Lyon"]}, "paris", "lyon"),
        ("qa", {"answers": ["NYC", "New York"]}, "new york", "a"),
    ],
)
def test_score_right_and_wrong(task, row, right, wrong, monkeypatch, capsys):
    lines = [row | {"completion": GOOD.format(text)} for text in (right, wrong)]
    code, answers, _ = score(task, lines, monkeypatch, capsys)
    assert code == 0
    primary = {"math": "math_answer", "code": "unit_tests", "qa": "short_answer"}[task]
    assert [a["components"][primary] for a in answers] == [1.0, 0.0]
    assert [a["reward"] for a in answers] == pytest.approx([1.2, 0.2])
    assert [a["correct"] for a in answers] == [1.0, 0.0]
    assert all(a["causes"] == {} for a in answers)


def test_score_undefined_is_null_with_its_cause(monkeypatch, capsys):
    line = {"answer": "\\frac{", "completion": GOOD.format("3")}
    code, answers, _ = score("math", [line], monkeypatch, capsys)
    assert code == 0
    assert answers[0]["reward"] is None
    assert answers[0]["components"]["math_answer"] is None
    assert answers[0]["causes"] == {"math_answer": "gold_unparseable"}


BAD = [{"answer": "1", "completion": "<answer>1</answer>"}, '{"answer": ', {"answer": "2", "completion": "x"}]


def test_score_stops_at_a_bad_line_and_names_it(monkeypatch, capsys):
    code, answers, err = score("math", BAD, monkeypatch, capsys)
    assert code == 2
    assert len(answers) == 1
    assert "standard input:2: not valid JSON" in err


def test_score_keep_going_answers_in_order(monkeypatch, capsys):
    code, answers, _ = score("math", BAD, monkeypatch, capsys, "--keep-going")
    assert code == 0
    assert [a.get("reward") is not None for a in answers] == [True, False, True]
    assert "standard input:2: not valid JSON" in answers[1]["error"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"answer": "1"}, 'expected a JSON object with a text field "completion"'),
        ({"completion": "x"}, "no field 'answer'"),
        ([1], "expected a JSON object"),
    ],
)
def test_score_bad_fields(line, message, monkeypatch, capsys):
    code, _, err = score("math", [line], monkeypatch, capsys)
    assert code == 2
    assert message in err


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: omnithinker {name}" in capsys.readouterr().out


def test_unknown_command_is_bad_input(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["stduy"])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["plan", "--help"], ["score", "--help"], ["report", "--help"], ["recipes"], ["init", "my.toml"]],
)
def test_light_commands_do_not_import_torch(arguments, tmp_path):
    code = (
        "import sys\nfrom omnithinker.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_table_of_results_without_entropy():
    unknown = EvalResult(
        task="t",
        n=2,
        accuracy=0.5,
        standard_error=0.5,
        outcomes=(1.0, 0.0),
        sampled_accuracy=0.0,
        sampled_standard_error=0.0,
        entropy=None,
        components={},
        length=3.0,
        truncated=0.0,
        undefined=2,
    )
    assert list(results_table({"t": unknown}).columns[4].cells) == ["–"]
