"""Input that no honest user writes: one line that says what, where and what to do, and exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from omnithinker.cli import main
from omnithinker.cli.streams import STANDARD_OUTPUT
from omnithinker.config.file import load_recipe
from omnithinker.errors import DataError, RecipeError
from omnithinker.io.runlog import RunLog
from omnithinker.rewards.resources import Resources
from omnithinker.tasks.base import load_tasks
from omnithinker.tasks.messages import fill
from omnithinker.train.folder import read_results

TASK = '[tasks.m]\ntrain = "rows.jsonl"\ntest = "rows.jsonl"\nrewards.short_answer = 1.0\n'
LONG = "n" * 300
DEEP = "[" * 100_000
HUGE = "9" * 5000


def refusal(capsys, *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".".join("a" * 5000) + " = 1", "bad.toml: not valid TOML: nested too deeply (more than 200 levels)"),
        ("a = " + DEEP, "bad.toml: not valid TOML: nested too deeply"),
        (f"a = {HUGE}", "bad.toml: not valid TOML: a number has too many digits"),
        ("training.preset = []", "bad.toml:1: training.preset: input should be 'paper', 'dapo' or 'dr_grpo'"),
        ("model.threads = true", "bad.toml:1: model.threads: input should be a number, not true or false"),
        ("seed = true", "bad.toml:1: seed: input should be a number, not true"),
        ("study.seeds = [true]", "bad.toml:1: study.seeds: input should be a number, not true"),
        ("study.seeds = [-1]", "bad.toml:1: study.seeds.0: input should be greater than or equal to 0"),
        ("training.learning_rate = inf", "bad.toml:1: training.learning_rate: not a plausible number"),
        ("training.learning_rate = nan", "bad.toml:1: training.learning_rate: not a plausible number"),
        ("sandbox.cpu_seconds = 1e300", "bad.toml:1: sandbox.cpu_seconds: not a plausible number"),
        (f"seed = {'9' * 400}", "bad.toml:1: seed: not a plausible number"),
        ("training.epochs = 1000000000", "bad.toml:1: training.epochs: input should be less than or equal to 100000"),
        ("sandbox.slots = 1000000", "bad.toml:1: sandbox.slots: input should be less than or equal to 1024"),
        ('model.path = "a\\u0000b"', "bad.toml:1: model.path: must not contain a null character"),
        ('output = ""', "bad.toml:1: output: string should have at least 1 character"),
        ('[tasks.base]\ndata = "lab:qa"\nrewards.tags = 1', "bad.toml:1: tasks.base: 'base' is the name of the model"),
        (f'[tasks.{LONG}]\ndata = "lab:qa"\nrewards.tags = 1', "use letters, digits, - and _ (at most 64)"),
        ('[tasks."[red]"]\ndata = "lab:qa"\nrewards.tags = 1', "task name '[red]': use letters"),
    ],
)
def test_settings(text, message, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(f"{text}\n{TASK}")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


ROWS = [
    (DEEP, "not valid JSON: nested too deeply"),
    (f'{{"more": {"[" * 600 + "]" * 600}}}', "not valid JSON: nested too deeply (more than 200 levels)"),
    ('{"prompt": "a", "answer": ' + HUGE + "}", "not valid JSON: a number has too many digits"),
    ('{"prompt": "a", "answer": NaN}', "NaN is not a number in JSON"),
    ('{"prompt": "a", "answer": 1e999}', "1e999 is too large for a number"),
    ('{"prompt": "\\ud800", "answer": "x"}', "field 'prompt' contains half a character (\\ud800)"),
    (
        '{"prompt": null, "answer": "x"}',
        "field 'prompt', which the prompt template uses, must be text or a number, not null",
    ),
    (
        '{"prompt": {"a": 1}, "answer": "x"}',
        "field 'prompt', which the prompt template uses, must be text or a number, not an",
    ),
    ('{"prompt": " ", "answer": "x"}', "field 'prompt' is empty, so there is nothing to ask"),
    ('{"prompt": "a", "prompt": "b", "answer": "x"}', '"prompt" occurs twice in one object; remove one'),
    ('{"prompt": "a", "answer": null}', "field 'answer' must be text or a number or a list, got null"),
    ('{"prompt": "a", "answer": " "}', "field 'answer' is empty"),
    ('{"prompt": "a", "answers": []}', "field 'answers' is empty"),
    ('{"prompt": "a", "answers": ["x", null]}', "field 'answers': entries must be text or numbers, got null"),
    ('{"prompt": "a", "answers": ["x", ["y"]]}', "field 'answers': entries must be text or numbers, got a list"),
    ('{"prompt": "a", "answers": ["x", ""]}', "field 'answers' has an empty entry"),
    ('{"prompt": "a", "answer": "x", "options": {"A": "x"}}', "field 'options' must be a list, got an object"),
    (
        '{"prompt": "a", "answer": "x", "options": ["x", null]}',
        "field 'options': entries must be text or numbers, got null",
    ),
    (
        '{"prompt": "a", "answer": "x", "options": ["y", "z"]}',
        "field 'answer': no completion could be right (gold not among options)",
    ),
]


@pytest.mark.parametrize(("row", "message"), ROWS, ids=[message for _, message in ROWS])
def test_rows(row, message, tmp_path):
    (tmp_path / "good.toml").write_text(TASK)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "answer": "x"}\n' + row + "\n")
    recipe = load_recipe(tmp_path / "good.toml")
    with Resources(recipe) as resources, pytest.raises(DataError) as caught:
        load_tasks(recipe, resources)
    assert str(caught.value).startswith(f"{tmp_path}/rows.jsonl:2: {message}")


def test_a_row_may_leave_some_of_the_fields_of_a_prompt_empty():
    assert fill("{context}\n{question}", {"context": "", "question": "Why?"}, "row 1") == "\nWhy?"
    with pytest.raises(DataError, match="row 1: field 'context' and 'question' is empty"):
        fill("{context}\n{question}", {"context": "", "question": ""}, "row 1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "-1"], "--seed -1: must be from 0 to 2^63 - 1"),
        (["--resamples", "1000000000000"], "--resamples 1000000000000: must be from 0 to 1,000,000"),
        (["--time-limit", "nan"], "--time-limit nan: must be a positive number"),
        (["--weight", "[a]=1e308"], "expected TASK=NUMBER"),
        (["--plot", f"{LONG}.svg"], "File name too long"),
    ],
)
def test_arguments_of_plan(arguments, message, tmp_path, capsys):
    assert message in refusal(capsys, "plan", table(tmp_path), *arguments)


def table(folder: Path, first: str = "[a]", second: str = "[/b]", **changes: object) -> Path:
    value = {
        "tasks": [first, second],
        "base": {first: 0.5, second: 0.2},
        "after": {first: {first: 0.6, second: 0.1}, second: {first: 0.55, second: 0.4}},
    }
    path = folder / "table.json"
    path.write_text(json.dumps(value | changes))
    return path


@pytest.mark.parametrize("names", [("[a]", "[/b]"), ("\ud800", "b"), ("a\nb", "\x1b[31m"), (LONG, "b")])
def test_any_names_can_be_planned(names, tmp_path, capsys):
    assert main(["plan", str(table(tmp_path, *names)), "--explain"]) == 0
    if names[0] == "[a]":
        out = capsys.readouterr().out
        assert "[a] > [/b]" in out or "[/b] > [a]" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (DEEP, "not valid JSON: nested too deeply"),
        (HUGE, "not valid JSON: a number has too many digits"),
        ('{"a": 1, "a": 2}', '"a" occurs twice in one object'),
    ],
)
def test_tables(content, message, tmp_path, capsys):
    (tmp_path / "table.json").write_text(content)
    assert message in refusal(capsys, "plan", tmp_path / "table.json")
    assert message in refusal(capsys, "plan", "--matrix", tmp_path / "table.json")


@pytest.mark.parametrize("n", [1e30, 10**400, 0.5, True])
def test_numbers_of_items(n, tmp_path, capsys):
    error = refusal(capsys, "plan", table(tmp_path, n={"[a]": n, "[/b]": 5}))
    assert 'table.json: n, task "[a]": ' in error
    assert len(error) < 300


def test_a_cell_without_end(tmp_path, capsys):
    (tmp_path / "table.csv").write_text(f"trained_on,a,b\nbase,{'9' * 200_000},0.2\n")
    assert "table.csv: not valid CSV: field larger" in refusal(capsys, "plan", tmp_path / "table.csv")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "{recipe}", "--output", LONG],
        ["study", "{recipe}", "--output", LONG],
        ["study", "{recipe}", "--output", LONG, "--status"],
        ["score", LONG],
        ["score", "{recipe}", "--input", LONG],
        ["evaluate", "{recipe}", "--model", LONG],
        ["report", LONG],
        ["init", LONG],
        ["plan", LONG],
    ],
    ids=" ".join,
)
def test_names_that_no_file_can_have(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text(TASK)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "answer": "x"}\n')
    assert main([word.replace("{recipe}", "good.toml") for word in arguments]) == 2
    error = capsys.readouterr().err
    assert LONG in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("content", ["{}", "[]", "null", "3", '{"tasks": []}', '{"tasks": {"m": {}}}', "", DEEP])
def test_a_damaged_result(content, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/result.json").write_text(content)
    with pytest.raises(DataError, match=r"result\.json: "):
        read_results(tmp_path / "run/result.json")
    assert "result.json: " in refusal(capsys, "report", tmp_path / "run")
    (tmp_path / "good.toml").write_text(TASK)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "answer": "x"}\n')
    assert "result.json: " in refusal(capsys, "train", tmp_path / "good.toml", "--output", tmp_path / "run")


@pytest.mark.parametrize("content", ["{}\n", '{"step": null}\n'])
def test_a_damaged_log(content, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"metrics\.jsonl: a line .*; remove it"):
        RunLog(tmp_path, 1)


def test_a_setting_that_is_nested_too_deeply(tmp_path):
    (tmp_path / "good.toml").write_text(TASK)
    with pytest.raises(RecipeError, match=r"good\.toml with --set .*: nested too deeply \(more than 200 levels\)"):
        load_recipe(tmp_path / "good.toml", ["tasks.m.chat_template_kwargs." + ".".join("a" * 300) + "=1"])
    kwargs = "tasks.m.chat_template_kwargs." + ".".join("a" * 190)
    assert load_recipe(tmp_path / "good.toml", [f"{kwargs}=1"]).to_toml()


def test_names_with_control_characters(tmp_path, capsys):
    """A terminal would obey them, and a message is one line."""
    assert r"a\x1b[31m\nb.toml" in refusal(capsys, "check", "a\x1b[31m\nb.toml")
    (tmp_path / "bad.toml").write_text(TASK + '"x\\n\\u001b" = 1\n"y" = 2\n')
    assert main(["check", str(tmp_path / "bad.toml")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert r"unknown key 'tasks.m.x\n\x1b'" in first
    assert "unknown key 'tasks.m.y'" in second


def test_names_with_markup_in_a_report(tmp_path, capsys):
    result = {"task": "m", "n": 1, "outcomes": [1.0], "entropy": 0.5, "components": {}, "undefined": 0}
    names = ("accuracy", "standard_error", "sampled_accuracy", "sampled_standard_error", "length", "truncated")
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        tasks = {"[/red]": result | dict.fromkeys(names, 0.5)}
        (tmp_path / run / "result.json").write_text(json.dumps({"name": run, "tasks": tasks}))
    assert main(["report", str(tmp_path)]) == 0
    assert "[/red]" in capsys.readouterr().out


def test_settings_that_would_be_ignored(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text(TASK)
    assert "give both" in refusal(capsys, "evaluate", "good.toml", "--all")
    assert "--count 0: must be from 1" in refusal(
        capsys, "data", "distractors", "good.toml", "--task", "m", "--output", "o.jsonl", "--count", "0"
    )
    with pytest.raises(SystemExit, match="2"):
        main(["study", "good.toml", "--stage", "base", "--dry-run"])


@pytest.mark.parametrize("name", ["results", "results.json"])
def test_results_where_no_file_can_be_written(name, tmp_path, capsys, monkeypatch):
    """Refused before anything is evaluated."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text(TASK)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "answer": "x"}\n')
    folder = tmp_path / ("results" if name == "results" else "results.jsonl")
    folder.mkdir()
    assert f"{folder.name}: is a folder; give the name of a file" in refusal(
        capsys, "evaluate", "good.toml", "--output", name
    )


@pytest.mark.parametrize(("command", "code"), [("train", 130), ("study", 130), ("recipes", 0), ("score", 0)])
def test_a_reader_that_has_gone(command, code, monkeypatch, capsys):
    gone = BrokenPipeError(32, "Broken pipe")
    gone.filename = STANDARD_OUTPUT

    def fail(*_: object) -> int:
        raise gone

    monkeypatch.setattr("omnithinker.cli._run", fail)
    assert main([command]) == code
    error = capsys.readouterr().err
    assert error == (
        f"omnithinker {command}: nobody reads standard output; run the same command to resume\n" * (code > 0)
    )
    gone.filename = None  # of another pipe, such as that of a worker
    with pytest.raises(BrokenPipeError):
        main([command])


LINE = json.dumps({"answer": "x", "completion": "<answer>x</answer>"})


def shell(command: str, folder: Path) -> tuple[int, str]:
    """Run ``omnithinker ...`` with redirections; exit code, and standard error."""
    (folder / "good.toml").write_text(TASK)
    command = f"exec {sys.executable} -m omnithinker {command}"
    done = subprocess.run(
        ["bash", "-c", command], input=LINE + "\n", cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("score good.toml <&-", 2, "omnithinker score: standard input: is closed; pipe lines into the command"),
        ("score good.toml >/dev/full", 2, "omnithinker score: standard output: No space left on device"),
        ("score good.toml >&-", 2, "omnithinker score: standard output: is closed; redirect it"),
        ("recipes >/dev/full", 2, "omnithinker recipes: standard output: No space left on device"),
        ("recipes >&-", 2, "omnithinker recipes: standard output: is closed"),
        ("--help >/dev/full", 2, "omnithinker: standard output: No space left on device"),
        ("score nowhere.toml 2>&-", 2, ""),
        ("score nowhere.toml 2>/dev/full", 2, ""),
        ("recipes > >(true)", 0, ""),
    ],
)
def test_streams(command, code, message, tmp_path):
    returned, error = shell(command, tmp_path)
    assert returned == code
    assert error.startswith(message)
    assert error.count("\n") == bool(message)


def test_messages_that_cannot_be_written_are_no_failure(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from omnithinker.cli.streams import standard_streams\n"
        "with standard_streams():\n"
        "    print('message', file=sys.stderr)\n"
    )
    for stream in ("/dev/full", ">(exit)"):
        command = f"{sys.executable} {program} 2> {stream}"
        assert subprocess.run(["bash", "-c", command], check=False, timeout=60).returncode == 0


def test_an_encoding_without_the_characters(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    line = json.dumps({"answer": "x", "completion": "<answer>\ud800é</answer>"})
    (tmp_path / "good.toml").write_text(TASK)
    command = [sys.executable, "-m", "omnithinker", "score", "good.toml"]
    done = subprocess.run(
        command, input=line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["correct"] == 0
