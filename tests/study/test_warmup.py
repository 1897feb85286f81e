"""A warm-up before reinforcement learning: studies, runs and evaluations start from it."""

from __future__ import annotations

import json

import pytest
import torch

import omnithinker as ot
from omnithinker.cli import main
from omnithinker.config.file import load_recipe
from omnithinker.errors import RecipeError
from omnithinker.io.files import read_json_lines
from omnithinker.policy.adapter import base_of
from omnithinker.policy.loading import load_policy
from omnithinker.report.collect import read_folder
from omnithinker.report.contents import tables
from omnithinker.study.stages import list_stages
from omnithinker.train.sft.run import SftObserver
from tests.builders.study import study
from tests.builders.training import same, weights

WARMUP = """
[warmup]
learning_rate = 1e-2
batch_size = 2
validation_items = 1
validate_every = 2
"""


@pytest.fixture
def warm(recipe):
    """The recipe of two tasks with a warm-up in which one takes part."""
    text = recipe.read_text().replace('prompt = "down', 'demonstration = "<answer>{prompt}</answer>"\nprompt = "down')
    recipe.write_text(text.replace("[tasks.up]", f"{WARMUP}[tasks.up]"))
    return recipe


def accuracies(results):
    return {task: (result.accuracy, result.entropy) for task, result in results.items()}


def test_every_stage_of_a_study_starts_from_the_warm_up(warm, tmp_path, capsys):
    stages = {stage.name: stage.needs for stage in list_stages(load_recipe(warm))}
    assert list(stages)[:2] == ["warmup", "base"]
    assert stages["base"] == stages["single:up"] == stages["joint"] == ("warmup",)
    assert stages["curriculum:best"] == ("warmup", "plan")
    assert study(warm, "--stage", "base") == 2
    assert "stage base needs the results of: warmup" in capsys.readouterr().err
    assert study(warm, "--dry-run") == 0
    assert "warmup" in capsys.readouterr().out

    assert study(warm) == 0
    folder = tmp_path / "study"
    updates = read_json_lines(folder / "warmup/metrics.jsonl")
    assert [update["sft/examples"] for update in updates] == [2, 2, 1]  # six rows, one of them held out
    assert [update["sft/val_loss"] is not None for update in updates] == [False, True, True]
    assert set(updates[0]) >= {"sft/task/down/loss"}
    assert not any("/up/" in name for name in updates[0])

    loaded = load_policy(load_recipe(warm).model, folder / "warmup/model")
    assert not same(weights(loaded), weights(load_policy(load_recipe(warm).model)))
    measured = ot.evaluate_model(warm, model=folder / "warmup/model")
    base = ot.read_study(warm).evaluations["base"]
    assert accuracies(measured) == accuracies(base) == accuracies(ot.evaluate_model(warm))
    before = ot.evaluate_model(warm, model=load_recipe(warm).model.path)
    assert accuracies(before) != accuracies(base)
    # The policy of the first step is the reference policy.
    first = read_json_lines(folder / "single-down/metrics.jsonl")[0]
    assert first["task/down/kl"] == pytest.approx(0, abs=1e-6)

    found = read_folder(folder)
    assert [update.step for update in found.warmup] == [1, 2, 3]
    (table,) = [table for table in tables(found) if table.title == "Warm-up"]
    assert [cell.text for cell in table.rows[0]][:2] == ["down", "5"]
    assert "Loss of the warm-up" in (folder / "report.html").read_text()
    assert study(warm, "--status") == 0
    assert study(warm, "--set", "warmup.epochs=2") == 2
    assert "warmup.epochs was 1, is now 2" in capsys.readouterr().err


def test_runs_share_the_warm_up_and_refuse_another(warm, tmp_path, capsys):
    assert main(["sft", str(warm)]) == 0
    out = capsys.readouterr().out
    assert "3 updates on 5 demonstrations" in out
    assert "validation loss down:" in out
    written = (tmp_path / "study/warmup/result.json").stat().st_mtime_ns
    # Settings of reinforcement learning alone may differ.
    assert main(["train", str(warm), "--task", "up", "--set", "training.learning_rate=1e-3"]) == 0
    assert (tmp_path / "study/warmup/result.json").stat().st_mtime_ns == written
    first = tmp_path / "study-single-up/checkpoints/step-1"
    assert first.exists()
    capsys.readouterr()
    for changed in ("warmup.learning_rate=1", "training.max_grad_norm=2", 'tasks.down.demonstration="x"', "seed=4"):
        assert main(["train", str(warm), "--task", "down", "--set", changed]) == 2
        assert f"{changed.partition('=')[0]} was " in capsys.readouterr().err
    assert main(["train", str(warm), "--task", "up", "--output", str(tmp_path / "own")]) == 0
    assert (tmp_path / "own/warmup/result.json").exists()


def test_an_interrupted_warm_up_ends_with_the_same_weights(warm, tmp_path, capsys, monkeypatch):
    assert main(["sft", str(warm)]) == 0

    class Stopped(SftObserver):
        def on_step(self, metrics, total):
            super().on_step(metrics, total)
            if metrics.step == 2:
                raise KeyboardInterrupt

    again = ["sft", str(warm), "--output", str(tmp_path / "again")]
    with monkeypatch.context() as patched:
        patched.setattr("omnithinker.train.sft.run.SftObserver", Stopped)
        assert main(again) == 130
        assert not (tmp_path / "again/model").exists()
    assert "run the same command to resume" in capsys.readouterr().err
    assert main(again) == 0
    models = [(tmp_path / name / "model/model.safetensors").read_bytes() for name in ("study/warmup", "again")]
    assert models[0] == models[1]
    logs = [read_json_lines(tmp_path / name / "metrics.jsonl") for name in ("study/warmup", "again")]
    assert [log["sft/loss"] for log in logs[0]] == [log["sft/loss"] for log in logs[1]]


def test_an_adapter_is_merged_into_the_base_that_runs_start_from(warm, tmp_path):
    lora = ["--set", "model.lora.rank=4"]
    assert main(["train", str(warm), "--task", "down", *lora]) == 0
    model = tmp_path / "study/warmup/model"
    assert base_of(model) is None
    assert base_of(tmp_path / "study/warmup/checkpoints/step-3") is not None
    recipe = load_recipe(warm, ["model.lora.rank=4"])
    merged = load_policy(recipe.model, tmp_path / "study/warmup/checkpoints/step-3")
    for one, two in zip(weights(merged), weights(load_policy(recipe.model, model)), strict=True):
        torch.testing.assert_close(one, two)
    assert base_of(tmp_path / "study-single-down/checkpoints/step-2") == str(model.resolve())
    first = read_json_lines(tmp_path / "study-single-down/metrics.jsonl")[0]
    assert first["task/down/kl"] == pytest.approx(0, abs=1e-6)


def test_a_row_without_a_field_of_the_template_is_named(warm, tmp_path, capsys):
    rows = (tmp_path / "down.jsonl").read_text().splitlines()
    rows[2] = json.dumps({"prompt": "down", "answer": None})
    (tmp_path / "down.jsonl").write_text("\n".join(rows))
    assert main(["sft", str(warm), "--set", 'tasks.down.demonstration="{answer}"']) == 2
    assert f"{tmp_path / 'down.jsonl'}:1: no field 'answer', which the demonstration template uses" in (
        capsys.readouterr().err
    )


def test_a_warm_up_needs_a_demonstration(recipe, capsys):
    with pytest.raises(RecipeError, match="'warmup' needs a task with a 'demonstration'"):
        load_recipe(recipe, ["warmup.epochs=1"])
    assert main(["sft", str(recipe)]) == 2
    assert "no task has a demonstration; add one, such as" in capsys.readouterr().err
