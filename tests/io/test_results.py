"""Result files of other types are damaged files, never an exception of what shows them."""

from __future__ import annotations

import json

import pytest

from omnithinker.cli import main
from omnithinker.errors import DataError
from omnithinker.io.results import read_plan
from omnithinker.io.sft_metrics import SftMetrics
from omnithinker.io.step_metrics import StepMetrics
from omnithinker.train.folder import read_record, read_results

RECIPE = '[tasks.m]\ntrain = "r.jsonl"\ntest = "r.jsonl"\nrewards.short_answer = 1.0\n'
RESULT = {
    "task": "m",
    "n": 1,
    "accuracy": 0.5,
    "standard_error": 0.1,
    "outcomes": [1.0],
    "sampled_accuracy": 0.5,
    "sampled_standard_error": 0.1,
    "entropy": None,
    "components": {},
    "length": 3.0,
    "truncated": 0.0,
    "undefined": 0,
}
ORDERS = {key: ["a", "b"] for key in ("order", "worst", "greedy", "forgettability")}
RANKED = {"order": ["b", "a"], "predicted": {"a": 0.5, "b": 0.25}, "delta_rel": 0.1}
PLAN = {"tasks": ["a", "b"], "bwt": [[0, 0.5], [1, 0]], "ranking": [RANKED], **ORDERS}


def write(folder, name: str, value: object):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))
    return file


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("accuracy", "x", "tasks.m.accuracy: input should be a valid number"),
        ("accuracy", None, "tasks.m.accuracy: input should be a valid number"),
        ("outcomes", 1, "tasks.m.outcomes: input should be a valid tuple"),
        ("components", [], "tasks.m.components: input should be a valid dictionary"),
    ],
)
def test_evaluations(field, value, message, tmp_path, capsys):
    file = write(tmp_path, "study/base/result.json", {"tasks": {"m": RESULT | {field: value}}})
    with pytest.raises(DataError) as caught:
        read_results(file)
    assert str(caught.value).startswith(f"{file}: damaged ({message}")
    (tmp_path / "m.toml").write_text(RECIPE)
    assert main(["study", str(tmp_path / "m.toml"), "--output", str(tmp_path / "study"), "--status"]) == 2
    assert main(["report", str(file.parent)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all(message in error for error in errors)


def test_a_good_evaluation_has_its_types(tmp_path):
    result = read_results(write(tmp_path, "result.json", {"tasks": {"m": RESULT | {"of a later version": 1}}}))["m"]
    assert (result.outcomes, result.accuracy, result.entropy) == ((1.0,), 0.5, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("order", 5),
        ("seconds", "x"),
        ("versions", 5),
        ("measured_step", "x"),
        ("measured_step", True),
        ("model", 5),
        ("best", {"best": {"step": 1}}),
        ("judges", [1]),
        ("judges", {"default": {"calls": "x"}}),
    ],
)
def test_other_fields_of_a_result(field, value, tmp_path, capsys):
    file = write(tmp_path, "run/result.json", {"tasks": {"m": RESULT}, field: value})
    with pytest.raises(DataError, match=rf"result\.json: damaged \({field}"):
        read_record(file, field)
    assert main(["report", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": 1},
        {"bwt": [["x", 0], [0, 0]]},
        {"bwt": [[0, 0]]},
        {"order": ["a"]},
        {"worst": None},
        {"ranking": [1]},
        {"ranking": [RANKED | {"order": ["a", "c"]}]},
        {"ranking": [RANKED | {"predicted": {"a": 1}}]},
        {"confidence": {"order": "high"}},
        {"warnings": 5},
    ],
    ids=str,
)
def test_plans(change, tmp_path, capsys):
    file = write(tmp_path, "plan.json", PLAN | change)
    with pytest.raises(DataError, match=r"plan\.json: damaged \("):
        read_plan(file)
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("tasks.m", "tasks.a") + RECIPE.replace("tasks.m", "tasks.b"))
    assert main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_plan_of_other_tasks_is_not_reported(tmp_path, capsys):
    write(tmp_path, "plan.json", PLAN)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    assert main(["report", str(tmp_path)]) == 2
    assert "plan.json: the plan of other tasks than m; remove it" in capsys.readouterr().err


@pytest.mark.parametrize("entry", [{"name": 5}, {"name": "a", "kind": "x", "label": "l", "folder": 8}, 1])
def test_an_index_of_stages(entry, tmp_path, capsys):
    write(tmp_path, "stages.json", [entry])
    assert main(["report", str(tmp_path)]) == 2
    assert "stages.json: damaged (0" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [StepMetrics, SftMetrics])
@pytest.mark.parametrize("record", [{"step": "a"}, {"step": None}, {"step": 1, "seconds/train": "x"}])
def test_metrics(kind, record):
    with pytest.raises(ValueError, match="validation error"):
        kind.from_record(record)
    assert kind.from_record({"step": 1}).step == 1


@pytest.mark.parametrize("name", ["task/m/reward", "task/m/undefined/c/cause", "judge/j/calls", "loss"])
def test_a_metric_that_is_no_number(name):
    with pytest.raises(ValueError, match="validation error"):
        StepMetrics.from_record({"step": 1, name: []})
