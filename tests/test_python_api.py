"""The Python API: lazy, without names that rooms would replace, and equal to the commands."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import subprocess
import sys

import pytest
from pydantic import ValidationError
from rich.console import Console

import omnithinker as ot
from omnithinker.errors import BadInput, RecipeError
from tests.builders import ROOT

QUIET = ot.View(Console(quiet=True))


def test_import_is_lazy():
    code = (
        "import sys, omnithinker as ot\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'rich', 'numpy'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "assert set(ot.__all__) <= set(dir(ot))\n"
        "ot.load_recipe, ot.Recipe, ot.make_plan, ot.score_completions, ot.write_report, ot.train_model, ot.run_study\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_name_is_documented_and_no_room():
    rooms = {module.name for module in pkgutil.iter_modules(ot.__path__)}
    page = (ROOT / "docs/python.md").read_text()
    for name in ot.__all__:
        assert name not in rooms
        assert importlib.import_module(f"omnithinker.{ot._MODULES[name]}").__dict__[name] is getattr(ot, name)
        assert getattr(ot, name).__doc__
        assert re.search(rf"^##+ .*`{name}`", page, flags=re.MULTILINE), name
    assert ot.__all__ == sorted(ot._MODULES)
    with pytest.raises(AttributeError, match="module 'omnithinker' has no attribute 'nothing'"):
        _ = ot.nothing


def test_a_recipe_is_built_from_objects():
    recipe = ot.Recipe(
        training={"learning_rate": 1e-4},
        tasks={"math": {"data": "lab:math", "rewards": {"math_answer": 1.0, "format": {"weight": 0.1}}}},
    )
    assert recipe.training.learning_rate == 1e-4
    assert recipe.tasks["math"].rewards["format"].weight == 0.1
    assert recipe.output == "runs/recipe"
    with pytest.raises(ValidationError, match=r"(?s)training\.learning_rat\b.*Extra inputs are not permitted"):
        ot.Recipe(training={"learning_rat": 1}, tasks={"math": {"data": "lab:math", "rewards": {"format": 1.0}}})


def test_train_and_evaluate(recipe, tmp_path):
    with pytest.raises(BadInput, match="select what to train"):
        ot.train_model(recipe)
    with pytest.raises(BadInput, match="no task 'upp' in the recipe"):
        ot.train_model(recipe, task="upp")
    with pytest.raises(BadInput, match="--order needs a schedule with a task order"):
        ot.train_model(recipe, schedule="joint", order=["up", "down"])
    result = ot.train_model(recipe, schedule="curriculum", order=["down", "up"], output=tmp_path / "run", view=QUIET)
    assert result.folder == tmp_path / "run"
    assert (result.plan.order, result.step) == (("down", "up"), 4)
    assert json.loads((result.folder / "result.json").read_text())["order"] == ["down", "up"]
    # The model that is returned is the one that was evaluated.
    again = ot.evaluate_model(recipe, model=result.model, view=QUIET)
    assert {task: r.outcomes for task, r in again.items()} == {
        task: r.outcomes for task, r in result.evaluation.items()
    }
    assert list(ot.evaluate_model(recipe, tasks=["down"], view=QUIET)) == ["down"]
    assert ot.write_report(result.folder) == result.folder / "report.html"


def test_the_best_weights_are_returned_where_they_were_evaluated(recipe, tmp_path):
    settings = {"evaluation.validation_items": 2, "evaluation.result": "best", "training.keep": 9}
    result = ot.train_model(ot.load_recipe(recipe, settings), task="up", output=tmp_path / "run", view=QUIET)
    best = json.loads((result.folder / "result.json").read_text())["best"]["checkpoints/best"]
    assert result.model == result.folder / "checkpoints" / "best"
    assert result.step == best["step"]


def test_study(recipe, tmp_path):
    result = ot.run_study(recipe, stage="base", view=QUIET)
    assert result == ot.read_study(recipe)
    assert list(result.evaluations) == ["base"]
    assert (result.order, result.report) == (None, None)
    result = ot.run_study(recipe, view=QUIET)
    assert list(result.evaluations) == ["base", "single:up", "single:down", "curriculum:best", "joint"]
    assert sorted(result.order) == ["down", "up"]
    assert result.report == tmp_path / "study/report.html"
    plan = ot.make_plan(result.folder, resamples=100)
    assert plan.order == result.order
    with pytest.raises(BadInput, match="no stage 'singel'"):
        ot.run_study(recipe, stage="singel", view=QUIET)


def test_plans_come_from_files_and_objects(tmp_path):
    table = {
        "tasks": ["a", "b"],
        "base": {"a": 0.5, "b": 0.5},
        "after": {"a": {"a": 0.7, "b": 0.6}, "b": {"a": 0.4, "b": 0.6}},
    }
    (tmp_path / "table.json").write_text(json.dumps(table))
    assert ot.make_plan(table).order == ot.make_plan(tmp_path / "table.json").order == ("b", "a")


def test_check():
    report = ot.check_recipe("lab-quick", rows=2)
    assert report.ok
    assert report["model"].data["parameters"] == 951_552
    with pytest.raises(RecipeError, match="did you mean 'lab-quick'"):
        ot.check_recipe("lab-quik")


def test_the_example_runs(tmp_path):
    source = (ROOT / "examples/python_api.py").read_text()
    source = source.replace('_steps": 10, "evaluation.items": 100', '_steps": 2, "evaluation.items": 9')
    (tmp_path / "example.py").write_text(source)
    done = subprocess.run([sys.executable, "example.py"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"math: 0\.\d\d before training, 0\.\d\d after", lines[0])
    assert lines[1] == "the trained model is in runs/python-api/checkpoints/step-2"
    assert lines[2] == "reward 1.2: {'math_answer': 1.0, 'format': 1.0, 'tags': 1.0}"
    assert lines[3] == "report: runs/python-api/report.html"
    assert "math" in done.stderr  # progress
    assert (tmp_path / "runs/python-api/report.html").exists()


def test_the_code_on_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/python.md").read_text()
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["result"].report.exists()
