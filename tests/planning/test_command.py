"""``omnithinker plan`` as a user meets it."""

import json
import subprocess
import sys

import pytest

from omnithinker.cli import main

TASKS = ["math", "code"]
TABLE = {
    "tasks": TASKS,
    "base": {"math": 0.5, "code": 0.2},
    "after": {"math": {"math": 0.6, "code": 0.1}, "code": {"math": 0.55, "code": 0.4}},
}
CSV = "trained_on,math,code\nbase,0.5,0.2\nmath,0.6,0.1\ncode,0.55,0.4\n"


def write(folder, text, name="table.json"):
    path = folder / name
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return str(path)


def plan(capsys, *arguments):
    assert main(["plan", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *arguments):
    assert main(["plan", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_json_contract(tmp_path, capsys):
    found = plan(capsys, write(tmp_path, TABLE))
    assert found["tasks"] == TASKS
    # Math gains 0.0953 when code follows; code loses 0.693 when math follows.
    assert found["order"] == ["math", "code"]
    assert found["worst"] == ["code", "math"]
    assert found["optimal"] is True
    assert found["bwt"][0] == pytest.approx([0.18232, 0.09531], abs=1e-5)
    assert found["bwt"][1] == pytest.approx([-0.69315, 0.69315], abs=1e-5)
    assert found["self_accuracy"] == {"math": 0.6, "code": 0.4}
    assert found["predicted"] == pytest.approx({"math": 0.66, "code": 0.4})
    assert found["delta_rel"] == pytest.approx(0.48539, abs=1e-5)
    assert [entry["order"] for entry in found["ranking"]] == [["math", "code"], ["code", "math"]]
    assert found["greedy"] == found["forgettability"] == ["math", "code"]
    assert found["confidence"] is None
    assert found["warnings"] == []


@pytest.mark.parametrize(("columns", "predictions"), [("60", False), ("80", False), ("130", True)])
def test_orders_are_readable_at_any_width(columns, predictions, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    tasks = ["alpha", "beta", "gamma", "delta"]
    after = {one: {other: 0.9 if one == other else 0.3 for other in tasks} for one in tasks}
    file = write(tmp_path, {"tasks": tasks, "base": dict.fromkeys(tasks, 0.4), "after": after})
    assert main(["plan", file]) == 0
    printed = capsys.readouterr().out
    table = printed[printed.index("listed orders") : printed.index("accuracy: base")]
    assert " > ".join(plan(capsys, file)["order"]) in table
    assert ("predicted accuracies" in table) == predictions


def test_csv_and_study_folder_say_the_same_as_json(tmp_path, capsys):
    expected = plan(capsys, write(tmp_path, TABLE))
    assert plan(capsys, write(tmp_path, CSV, "table.csv")) == expected
    write(tmp_path, TABLE, "accuracies.json")
    assert plan(capsys, str(tmp_path)) == expected


def test_matrix_from_csv_and_json(tmp_path, capsys):
    csv = write(tmp_path, "evaluated,a,b\nb,-1,\na,9,2\n", "matrix.csv")
    found = plan(capsys, "--matrix", csv)
    assert found["order"] == ["a", "b"]
    assert found["objective"] == 2
    assert found["bwt"] == [[0, 2], [-1, 0]]
    assert found["predicted"] is None
    assert plan(capsys, "--matrix", write(tmp_path, {"tasks": ["a", "b"], "bwt": [[0, 2], [-1, 0]]})) == found


def test_weights_decide(tmp_path, capsys):
    path = write(tmp_path, "evaluated,a,b\na,0,1\nb,0.6,0\n", "matrix.csv")
    assert plan(capsys, "--matrix", path)["order"] == ["a", "b"]
    assert plan(capsys, "--matrix", path, "--weight", "b=2")["order"] == ["b", "a"]


def test_zero_accuracy_is_floored_with_a_warning(tmp_path, capsys):
    table = {**TABLE, "after": {**TABLE["after"], "math": {"math": 0.6, "code": 0}}, "n": {"math": 100, "code": 50}}
    found = plan(capsys, write(tmp_path, table))
    assert found["bwt"][1][0] == pytest.approx(-2.99573, abs=1e-5)  # log(0.01 / 0.2)
    assert len(found["warnings"]) == 1
    assert "accuracy 0 on code (after math) was raised to 0.01" in found["warnings"][0]


def test_prediction_above_one_is_shown_and_flagged(tmp_path, capsys):
    table = {**TABLE, "after": {"math": {"math": 0.9, "code": 0.1}, "code": {"math": 0.6, "code": 0.4}}}
    found = plan(capsys, write(tmp_path, table))
    assert found["predicted"]["math"] == pytest.approx(1.08)
    assert "above 1 (math 1.080)" in found["warnings"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ["math"]}, "needs at least 2"),
        ({"tasks": ["math", "math"]}, 'task "math" occurs twice'),
        ({"tasks": ["math", "base"]}, "'base' cannot be the name of a task"),
        ({"base": {"math": 0.5}}, 'base: accuracy on task "code" is missing'),
        ({"base": {"math": 55, "code": 20}}, "55 is above 1; percent? divide by 100"),
        ({"base": {"math": "0.5", "code": 0.2}}, "'0.5' is not a number"),
        ({"base": {"math": -0.5, "code": 0.2}}, "-0.5 is below 0"),
        ({"after": {"math": {"math": 0.6, "code": 0.1}}}, 'the run trained on "code" is missing'),
        ({"after": {**TABLE["after"], "qa": {}}}, '"qa" is not one of math, code'),
        ({"n": {"math": 10, "code": 0.5}}, "0.5 is not a positive whole number"),
        ({"extra": 1}, 'unknown key "extra"'),
    ],
)
def test_bad_tables_get_one_clear_line(tmp_path, capsys, change, message):
    assert message in refusal(capsys, write(tmp_path, {**TABLE, **change}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trained_on,math\nbase,0.5\nmath,0.6\n", "needs at least 2"),
        (CSV + "math,0.6,0.1\n", 'line 5: row "math" occurs twice'),
        (CSV.replace("0.55", "x"), "line 4, column \"math\": 'x' is not a number"),
        (CSV.replace("0.55", "nan"), "'nan' is not a number"),
        (CSV.replace("0.55", "55%"), "'55%' is a percentage; divide by 100"),
        (CSV.replace("0.55", ""), "'empty cell' is not a number"),
        (CSV.replace("base", "start"), "the row base"),
        (CSV.replace("trained_on", "x"), "line 1: the header must begin with trained_on, found 'x'"),
        (CSV.replace("0.1\n", "0.1,0.3\n"), "line 3: 4 cells, but the header has 3"),
        ("", "empty"),
    ],
)
def test_bad_csv_gets_one_clear_line(tmp_path, capsys, text, message):
    assert message in refusal(capsys, write(tmp_path, text, "table.csv"))


def test_bad_arguments_get_one_clear_line(tmp_path, capsys):
    path = write(tmp_path, TABLE)
    assert '"qa" is not a task; tasks: math, code' in refusal(capsys, path, "--weight", "qa=2")
    assert "weights must be positive numbers" in refusal(capsys, path, "--weight", "math=-2")
    assert "expected TASK=NUMBER" in refusal(capsys, path, "--weight", "math")
    assert "give either" in refusal(capsys)
    assert "cannot be read" in refusal(capsys, str(tmp_path / "absent.json"))
    assert "no accuracies.json" in refusal(capsys, str(tmp_path))
    assert '"math" occurs twice' in refusal(capsys, write(tmp_path, '{"base": {"math": 1, "math": 1}}', "twice.json"))


def test_neither_torch_nor_transformers_is_imported(tmp_path):
    program = (
        "import sys; from omnithinker.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'transformers', 'scipy', 'matplotlib')))"
    )
    done = subprocess.run([sys.executable, "-c", program, "plan", write(tmp_path, TABLE)], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"math > code" in done.stdout
