"""Validation during training: best checkpoints are kept apart, patience ends a run, and both survive a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from omnithinker.policy.loading import load_policy
from omnithinker.schedules.joint import joint_batches
from omnithinker.train import checkpoint
from omnithinker.train.checkpoint import list_checkpoints
from tests.builders.training import Quiet, recipe_of, run, same, weights

VALIDATION = {"every": 1, "validation_items": 2}
FOUND = {1: {"a": 0.2, "b": 0.5}, 2: {"a": 0.1, "b": 0.9}, 3: {"a": 0.3, "b": 0.6}, 4: {"a": 0.2, "b": 0.2}}
"""Validation accuracy after each step; the mean is best after step 2."""


def best_weights(folder: Path, name: str) -> list[torch.Tensor]:
    return weights(load_policy(recipe_of(folder).model, folder / "checkpoints" / name))


def test_the_best_weights_are_kept_apart(model_folder, tmp_path):
    folder = tmp_path / "run"
    run(recipe_of(model_folder, evaluation=VALIDATION, keep=1), folder, observer=Quiet(accuracies=FOUND))
    kept = {p.name: json.loads((p / "best.json").read_text()) for p in (folder / "checkpoints").glob("best*")}
    assert kept == {
        "best": {"step": 2, "accuracy": 0.5},
        "best-a": {"step": 3, "accuracy": 0.3},
        "best-b": {"step": 2, "accuracy": 0.9},
    }
    assert [p.name for p in list_checkpoints(folder / "checkpoints")] == ["step-4"]
    assert not list((folder / "checkpoints/best").glob("optimizer*"))
    for name, step in (("best", 2), ("best-b", 2), ("best-a", 3)):
        observer = Quiet(stop_after=step)
        with pytest.raises(KeyboardInterrupt):
            run(recipe_of(model_folder), tmp_path / name, observer=observer)
        assert same(best_weights(folder, name), best_weights(tmp_path / name, f"step-{step}"))


def test_a_new_best_is_kept_also_between_checkpoints(model_folder, tmp_path):
    folder = tmp_path / "run"
    recipe = recipe_of(model_folder, evaluation=VALIDATION, checkpoint_every=100)
    run(recipe, folder, observer=Quiet(accuracies=FOUND))
    assert json.loads((folder / "checkpoints/best/best.json").read_text())["step"] == 2


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 5, 6])
def test_patience_ends_an_interrupted_run_at_the_same_step(stop_after, model_folder, tmp_path):
    # The mean is best after step 2, so patience of 3 ends the run after step 5 of 12.
    accuracies = {step: FOUND.get(step, {"a": 0.1, "b": 0.1}) for step in range(1, 13)}
    recipe = recipe_of(model_folder, evaluation=VALIDATION | {"patience": 3})
    batches = joint_batches({"a": 6, "b": 6}, prompts_per_step=3, epochs=3, seed=0)
    whole = weights(run(recipe, tmp_path / "whole", schedule=batches, observer=Quiet(accuracies=accuracies)))
    observer = Quiet(stop_after, accuracies)
    if stop_after <= 5:
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path / "parts", schedule=batches, observer=observer)
    again = Quiet(accuracies=accuracies)
    assert same(whole, weights(run(recipe, tmp_path / "parts", schedule=batches, observer=again)))
    assert observer.validated + again.validated == [1, 2, 3, 4, 5]
    newest = [list_checkpoints(tmp_path / d / "checkpoints")[-1] for d in ("whole", "parts")]
    states = [checkpoint.read_state(path) for path in newest]
    assert states[0] == states[1]
    assert (states[0].step, states[0].selection.waited) == (5, 3)
    assert same(best_weights(tmp_path / "whole", "best-b"), best_weights(tmp_path / "parts", "best-b"))


def test_patience_does_not_end_a_curriculum_before_its_last_task(model_folder, tmp_path):
    recipe = recipe_of(model_folder, evaluation=VALIDATION | {"patience": 1})
    falling = {step: {"a": 1 / step, "b": 1 / step} for step in range(1, 5)}
    observer = Quiet(accuracies=falling)
    run(recipe, tmp_path / "run", observer=observer)  # two steps on b, then two on a
    assert observer.validated == [1, 2, 3]


def test_a_kill_between_a_checkpoint_and_its_best_folders_is_made_good(model_folder, tmp_path, monkeypatch):
    recipe, folder = recipe_of(model_folder, evaluation=VALIDATION), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run(recipe, folder, observer=Quiet(stop_after=1, accuracies=FOUND))
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "keep_best", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, folder, observer=Quiet(stop_after=2, accuracies=FOUND))
    best = folder / "checkpoints/best/best.json"
    assert json.loads(best.read_text())["step"] == 1
    with pytest.raises(KeyError):  # the next validation fails, so that only the start can have done it
        run(recipe, folder, observer=Quiet(accuracies={}))
    assert json.loads(best.read_text())["step"] == 2


@pytest.mark.parametrize("links", [True, False])
def test_best_folders_survive_damage_and_need_no_links(links, model_folder, tmp_path, monkeypatch):
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    recipe, folder = recipe_of(model_folder, evaluation=VALIDATION), tmp_path / "run"
    run(recipe, tmp_path / "whole", observer=Quiet(accuracies=FOUND))
    with pytest.raises(KeyboardInterrupt):
        run(recipe, folder, observer=Quiet(stop_after=2, accuracies=FOUND))
    damaged = folder / "checkpoints/step-2/model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-20])  # a shared file is damaged in both places
    run(recipe, folder, observer=Quiet(accuracies=FOUND))
    assert same(best_weights(folder, "best"), best_weights(tmp_path / "whole", "best"))
