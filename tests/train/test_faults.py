"""Loss or gradient that is not finite, and memory that runs out."""

from __future__ import annotations

import json

import pytest
import torch

import omnithinker.train.trainer as loop
from omnithinker.errors import TrainingError
from omnithinker.io.files import read_json, read_json_lines
from omnithinker.train import checkpoint
from omnithinker.train.batching import microbatches
from tests.builders.training import Quiet, recipe_of, run


def break_losses(monkeypatch, calls):
    """Make the loss of some micro-batches (counted from 1 over the run) infinite."""
    real, count = loop.grpo_loss, iter(range(1, 1000))

    def broken(*args, **settings):
        parts = real(*args, **settings)
        return parts._replace(loss=parts.loss * torch.inf) if next(count) in calls else parts

    monkeypatch.setattr(loop, "grpo_loss", broken)


def test_an_infinite_loss_is_not_applied_and_its_batch_is_kept(model_folder, tmp_path, monkeypatch):
    recipe, observer = recipe_of(model_folder), Quiet()
    break_losses(monkeypatch, {2})
    run(recipe, tmp_path / "run", observer=observer)
    assert [r["nonfinite"] for r in read_json_lines(tmp_path / "run/metrics.jsonl")] == [0, 1, 0, 0]
    assert [r["updates"] for r in read_json_lines(tmp_path / "run/metrics.jsonl")] == [1, 0, 1, 1]
    assert observer.notes == [
        f"step 2: loss or gradient not finite, update skipped; see {tmp_path / 'run/nonfinite/step-2.json'}"
    ]
    batch = read_json(tmp_path / "run/nonfinite/step-2.json")
    assert batch["loss"] in ("inf", "-inf", "nan")
    assert len(batch["samples"]) == 3 * 4
    assert batch["samples"][0]["prompt"].startswith("b ")
    assert batch["weights_with_nonfinite_gradient"]
    assert checkpoint.read_state(tmp_path / "run/checkpoints/step-4").updates == 3


def test_a_skipped_update_leaves_weights_and_optimizer_unchanged(model_folder, tmp_path, monkeypatch):
    recipe = recipe_of(model_folder, keep=9)
    break_losses(monkeypatch, {2})
    run(recipe, tmp_path / "run")
    for file in ("model.safetensors", "optimizer.safetensors"):
        one, two = (tmp_path / f"run/checkpoints/step-{n}" / file for n in (1, 2))
        assert one.read_bytes() == two.read_bytes()


def test_three_in_a_row_stop_the_run_and_a_restart_remembers_them(model_folder, tmp_path, monkeypatch):
    recipe = recipe_of(model_folder, checkpoint_every=100)
    break_losses(monkeypatch, {2, 3, 4})
    with pytest.raises(TrainingError, match=r"3 updates in a row, the last in step 4; .*nonfinite"):
        run(recipe, tmp_path / "run")
    assert checkpoint.read_state(tmp_path / "run/checkpoints/step-4").nonfinite == 3


def test_two_before_and_one_after_an_interruption_are_three_in_a_row(model_folder, tmp_path, monkeypatch):
    recipe = recipe_of(model_folder)
    break_losses(monkeypatch, {1, 2})
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "run", observer=Quiet(stop_after=2))
    break_losses(monkeypatch, {1})
    with pytest.raises(TrainingError, match="the last in step 3"):
        run(recipe, tmp_path / "run")


def run_out_of_memory(monkeypatch, error, calls):
    """Raise in some backward passes, counted from 1; records the micro-batch budgets."""
    real, count, budgets = loop.completion_logprobs, iter(range(1, 1000)), []

    def logprobs(*arguments):
        found = real(*arguments)
        if torch.is_grad_enabled() and next(count) in calls:
            raise error
        return found

    def recorded(groups, budget):
        budgets.append(budget)
        return microbatches(groups, budget)

    monkeypatch.setattr(loop, "completion_logprobs", logprobs)
    monkeypatch.setattr(loop, "microbatches", recorded)
    return budgets


CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:126] DefaultCPUAllocator: can't allocate memory: you tried ...")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), CPU, MemoryError()], ids=repr)
def test_memory_that_runs_out_once_costs_a_retry_and_changes_nothing(error, model_folder, tmp_path, monkeypatch):
    recipe, observer = recipe_of(model_folder, microbatch_tokens=60), Quiet()
    # Fails in the second micro-batch of the first update, when the first has left gradients behind.
    budgets = run_out_of_memory(monkeypatch, error, {2})
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "run", observer=Stopping(observer.notes))
    assert budgets == [60, 30]
    assert observer.notes == ["out of memory; retrying with training.microbatch_tokens = 30"]
    first = checkpoint.list_checkpoints(tmp_path / "run/checkpoints")[0]
    assert json.loads((first / checkpoint.STATE_FILE).read_text())["step"] == 1
    monkeypatch.undo()
    with pytest.raises(KeyboardInterrupt):
        run(recipe_of(model_folder, microbatch_tokens=30), tmp_path / "half", observer=Quiet(stop_after=1))
    half = tmp_path / "half/checkpoints/step-1/model.safetensors"
    assert (first / "model.safetensors").read_bytes() == half.read_bytes()


class Stopping(Quiet):
    """Stops after the first step; notes go to a list."""

    def __init__(self, notes):
        super().__init__(stop_after=1)
        self.notes = notes


def test_memory_that_runs_out_twice_names_the_setting(model_folder, tmp_path, monkeypatch):
    run_out_of_memory(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"), {1, 2})
    with pytest.raises(TrainingError, match=r"also with training\.microbatch_tokens = 4096; lower it"):
        run(recipe_of(model_folder), tmp_path / "run")


def test_other_errors_are_not_taken_for_a_lack_of_memory(model_folder, tmp_path, monkeypatch):
    run_out_of_memory(monkeypatch, RuntimeError("shapes do not match"), {1})
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(recipe_of(model_folder), tmp_path / "run")
