"""A validation split through the commands: where its rows come from, what is measured when, what results tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnithinker.cli import main
from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.data.rows import hold_out
from omnithinker.errors import DataError, RecipeError
from omnithinker.tasks.base import read_split
from tests.builders.study import study

VALIDATED = ("evaluation.every=1", "evaluation.validation_items=3", "training.epochs=4")
STILL = "training.learning_rate=1e-12"
"""Greedy answers stay as they are, so the first validation remains the best."""


def train(path: Path, folder: Path, *settings: str, what: tuple[str, ...] = ("--task", "up")) -> dict:
    overrides = [word for setting in settings for word in ("--set", setting)]
    assert main(["train", str(path), *what, "--output", str(folder), *overrides]) == 0
    return json.loads((folder / "result.json").read_text())


def placed(*rows: object) -> list:
    return [(f"file:{number}", {"prompt": row}) for number, row in enumerate(rows, start=1)]


def test_rows_are_held_out_once_and_by_seed():
    rows = placed(*range(20))
    rest, held = hold_out(rows, 6, "x", "items")
    assert len(held) == 6
    assert sorted([*rest, *held], key=rows.index) == rows
    assert [rest, held] == [sorted(part, key=rows.index) for part in (rest, held)]
    assert hold_out(rows, 6, "x", "items") == (rest, held)
    assert hold_out(rows, 6, "y", "items") != (rest, held)
    assert hold_out(rows, 0, "x", "items") == (rows, [])


def test_a_row_that_equals_a_held_out_one_is_not_trained_on():
    for seed in range(10):
        rest, held = hold_out(placed("same", "other", "same", "more"), 1, str(seed), "items")
        assert not {row["prompt"] for _, row in rest} & {row["prompt"] for _, row in held}


def test_rows_that_leave_none_to_train_on_are_refused():
    with pytest.raises(DataError, match=r"file:1: evaluation.validation_items = 3 leaves none of the 3 training rows"):
        hold_out(placed("a", "b", "c"), 3, "x", "evaluation.validation_items")


def lab(seed: int = 0, **evaluation: object) -> Recipe:
    task = {"data": "lab:math", "train_items": 40, "rewards": {"math_answer": 1.0}}
    return Recipe.model_validate({"seed": seed, "evaluation": {"items": 10} | evaluation, "tasks": {"math": task}})


def test_lab_data_have_as_many_training_rows_as_without_validation():
    def prompts(split, **settings):
        return [row["prompt"] for _, row in read_split("math", split, lab(**settings))]

    asked = {"every": 1, "validation_items": 15}
    assert (len(prompts("train", **asked)), len(prompts("validation", **asked))) == (40, 15)
    assert not set(prompts("train", **asked)) & set(prompts("validation", **asked))
    assert not set(prompts("test", **asked)) & set(prompts("validation", **asked))
    assert prompts("test", **asked) == prompts("test")
    assert prompts("validation", **asked) == prompts("validation", **asked)
    assert prompts("validation", **asked) != prompts("validation", seed=1, **asked)
    assert prompts("validation") == []


def test_a_split_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="no split 'valid'; use train, test or validation"):
        read_split("math", "valid", lab())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["evaluation.every=0", "evaluation.validation_items=3"], "'validation_items' needs 'every'"),
        (["evaluation.patience=2"], "need 'validation_items'"),
        (["evaluation.result='best'"], "need 'validation_items'"),
    ],
)
def test_settings_that_need_each_other(recipe, settings, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe, settings)


def test_validation_takes_the_place_of_evaluation_during_training(recipe, tmp_path):
    folder = tmp_path / "run"
    result = train(recipe, folder, *VALIDATED)
    # Three of six rows train: one step an epoch.
    assert (result["steps"], result["stopped_early"], result["measured_step"]) == (4, False, 4)
    assert sorted(p.name for p in (folder / "eval").iterdir()) == ["step-4.json", "step-4.jsonl"]
    files = {json.loads(p.read_text())["step"]: json.loads(p.read_text()) for p in (folder / "validation").iterdir()}
    assert sorted(files) == [1, 2, 3, 4]
    assert all(set(file["tasks"]) == {"up"} and file["tasks"]["up"]["n"] == 3 for file in files.values())
    accuracies = {step: file["tasks"]["up"]["accuracy"] for step, file in files.items()}
    best = max(accuracies, key=accuracies.__getitem__)
    expected = {"step": best, "accuracy": accuracies[best]}
    assert result["best"] == {"checkpoints/best": expected, "checkpoints/best-up": expected}


def test_validation_during_joint_training_is_of_all_tasks(recipe, tmp_path):
    result = train(recipe, tmp_path / "run", *VALIDATED, what=("--schedule", "joint"))
    assert set(result["best"]) == {f"checkpoints/{name}" for name in ("best", "best-up", "best-down")}


def test_patience_stops_the_run_with_a_message(recipe, tmp_path, capsys):
    result = train(recipe, tmp_path / "run", *VALIDATED, STILL, "evaluation.patience=2")
    assert (result["steps"], result["stopped_early"], result["completions"]) == (3, True, 3 * 3 * 3)
    assert "stopped after step 3 of 4" in " ".join(capsys.readouterr().out.split())
    assert train(recipe, tmp_path / "other", *VALIDATED, STILL, "evaluation.patience=9")["steps"] == 4


def test_the_result_may_be_that_of_the_best_weights(recipe, tmp_path, capsys):
    folder = tmp_path / "run"
    result = train(recipe, folder, *VALIDATED, "evaluation.result='best'")
    assert result["measured_step"] == result["best"]["checkpoints/best"]["step"]
    capsys.readouterr()
    assert main(["evaluate", str(recipe), "--model", str(folder / "checkpoints/best"), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["up"]["outcomes"] == result["tasks"]["up"]["outcomes"]
    with_still = train(recipe, tmp_path / "still", *VALIDATED, STILL, "evaluation.result='best'")
    assert with_still["measured_step"] == 1


def test_a_study_with_validation(recipe, tmp_path, capsys):
    overrides = [word for setting in (*VALIDATED, STILL, "evaluation.patience=1") for word in ("--set", setting)]
    assert study(recipe, "--dry-run", *overrides) == 0
    base, single = (
        [int(word.replace(",", "")) for word in line.split() if word.replace(",", "").isdigit()]
        for line in capsys.readouterr().out.splitlines()
        if line.split()[:1] in (["base"], ["single:up"])
    )
    assert 24 in base  # 2 tasks, 6 items, greedy and sampled
    assert 12 * 3 + 24 + 4 * 3 in single  # 4 steps of 3 prompts, at the end 24, 4 validations of 3 items
    assert study(recipe, *overrides) == 0
    folder = tmp_path / "study"
    assert json.loads((folder / "single-up/result.json").read_text())["steps"] == 2
    assert json.loads((folder / "accuracies.json").read_text())["probes"] == []


def test_a_result_of_best_weights_is_no_measurement_along_the_way(recipe, tmp_path):
    settings = (*VALIDATED, STILL, "evaluation.result='best'")
    assert study(recipe, *(word for setting in settings for word in ("--set", setting))) == 0
    folder = tmp_path / "study"
    found = [json.loads((folder / f"single-{task}/result.json").read_text()) for task in ("up", "down")]
    assert [(run["measured_step"], run["steps"]) for run in found] == [(1, 4), (1, 4)]
    assert json.loads((folder / "accuracies.json").read_text())["probes"] == []
