"""Checkpoints by time, written while training continues: what is written, when, and what a failure does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from omnithinker.errors import DiskError, RewardError, TrainingError
from omnithinker.io.files import read_json, read_json_lines
from omnithinker.io.memory import free_memory
from omnithinker.policy.loading import load_trained
from omnithinker.train import callbacks, checkpoint
from omnithinker.train.background import BackgroundWriter
from omnithinker.train.checkpoint import TrainerState, list_checkpoints, save_checkpoint, snapshot_bytes, take_snapshot
from omnithinker.train.setup import make_optimizer
from tests.builders.architectures import random_policy
from tests.builders.policy import LORA
from tests.builders.training import Letters, Quiet, recipe_of, run, same, weights

BY_TIME = {"checkpoint_every": 0, "checkpoint_minutes": 10}


def saved_steps(monkeypatch) -> list[tuple[int, bool]]:
    """Record the step of every checkpoint, and whether it is written in the background."""
    found, real = [], checkpoint.save_checkpoint

    def recorded(folder, snapshot, keep):
        found.append((snapshot.state.step, threading.current_thread() is not threading.main_thread()))
        return real(folder, snapshot, keep)

    monkeypatch.setattr(checkpoint, "save_checkpoint", recorded)
    return found


@pytest.mark.parametrize(
    ("minutes", "settings", "saved"),
    [
        ([1, 1, 1], BY_TIME, [4]),  # the end in any case
        ([11, 1, 1], BY_TIME, [1, 4]),
        ([6, 6, 6], BY_TIME, [2, 4]),
        ([10, 0, 10], BY_TIME, [1, 3, 4]),
        ([99, 99, 99], BY_TIME | {"checkpoint_minutes": 0}, [4]),
        ([1, 11, 1], BY_TIME | {"checkpoint_every": 3}, [2, 3, 4]),
        ([1, 1, 1], BY_TIME | {"checkpoint_every": 2, "checkpoint_minutes": 0}, [2, 4]),
    ],
)
def test_when_checkpoints_are_saved(minutes, settings, saved, model_folder, tmp_path, monkeypatch):
    now = [0.0]
    durations = iter([*minutes, 0])
    found, real = saved_steps(monkeypatch), callbacks.LogMetrics.on_step_end

    def logged(self, trainer, result):
        now[0] += 60 * next(durations)
        real(self, trainer, result)

    monkeypatch.setattr(callbacks.LogMetrics, "on_step_end", logged)
    run(recipe_of(model_folder, keep=9, **settings), tmp_path / "run", clock=lambda: now[0])
    assert [step for step, _ in found] == saved
    assert [path.name for path in list_checkpoints(tmp_path / "run/checkpoints")] == [f"step-{n}" for n in saved]


@pytest.mark.parametrize("name", ["tied", "untied", "lora", "frozen"])
def test_a_copy_is_written_as_the_weights_in_use_are(name, model_folder, tmp_path):
    held = {"lora": LORA, "frozen": {"freeze_embeddings": True}}.get(name, {})
    if name == "untied":
        random_policy("llama").save(model_folder)
    recipe = recipe_of(model_folder, held=held)
    policy = load_trained(recipe.model, seed=0)
    optimizer = make_optimizer(policy, recipe.training)
    for parameter in policy.trained:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    state = TrainerState(step=3, updates=3, schedule={})
    save_checkpoint(tmp_path / "plain", take_snapshot(state, policy, optimizer), 1)
    copied = take_snapshot(state, policy, optimizer, copy=True)
    optimizer.step()  # training continues
    save_checkpoint(tmp_path / "copied", copied, 1)
    plain = {file.name: file.read_bytes() for file in (tmp_path / "plain/step-3").iterdir()}
    assert {file.name: file.read_bytes() for file in (tmp_path / "copied/step-3").iterdir()} == plain
    trained = {weight.data_ptr() for weight in policy.trained}
    assert not trained & {tensor.data_ptr() for tensor in copied.weights.values()}
    numbers = sum(weight.numel() for weight in policy.trained)
    assert snapshot_bytes(policy, optimizer) == 4 * (3 * numbers + len(policy.trained))  # a count of steps per weight


def test_training_continues_while_a_checkpoint_is_written(model_folder, tmp_path, monkeypatch):
    written, real = threading.Event(), checkpoint.save_checkpoint
    order = []

    def slow(folder, snapshot, keep):
        if snapshot.state.step == 1:
            assert written.wait(60)
        order.append(f"saved {snapshot.state.step}")
        return real(folder, snapshot, keep)

    class Watching(Quiet):
        def on_step(self, metrics, total):
            order.append(f"step {metrics.step}")
            if metrics.step == 2:
                written.set()  # the second step ends before the first is saved

    monkeypatch.setattr(checkpoint, "save_checkpoint", slow)
    whole = run(recipe_of(model_folder, checkpoint_every=3), tmp_path / "whole")
    order.clear()
    now = iter([0.0, 601.0, 601.0, 601.0, *[602.0] * 20])
    recipe = recipe_of(model_folder, **BY_TIME)
    policy = run(recipe, tmp_path / "run", observer=Watching(), clock=lambda: next(now))
    assert order[:2] == ["step 1", "step 2"]
    assert order[-1] == "saved 4"  # the end is waited for
    assert order.count("saved 1") == 1
    assert same(weights(whole), weights(policy))
    checkpoint.read_state(tmp_path / "run/checkpoints/step-1")


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_run_resumes_bit_for_bit_from_a_checkpoint_by_time(stop_after, model_folder, tmp_path):
    minutes = iter(range(0, 10**6, 7))  # every look at the clock is seven minutes later
    recipe = recipe_of(model_folder, minibatches=2, **BY_TIME)
    whole = weights(run(recipe, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "parts", observer=Quiet(stop_after), clock=lambda: 60 * next(minutes))
    assert same(whole, weights(run(recipe, tmp_path / "parts")))
    logs = [read_json_lines(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")]
    assert [record["step"] for record in logs[1]] == [1, 2, 3, 4]
    assert [record["loss"] for record in logs[0]] == [record["loss"] for record in logs[1]]


def test_a_failed_write_is_an_error_of_the_run(model_folder, tmp_path, monkeypatch):
    real = checkpoint.save_checkpoint

    def full(folder, snapshot, keep):
        if snapshot.state.step == 2:
            raise DiskError("the disk is full")
        return real(folder, snapshot, keep)

    monkeypatch.setattr(checkpoint, "save_checkpoint", full)
    with pytest.raises(DiskError, match="the disk is full"):
        run(recipe_of(model_folder, checkpoint_every=2), tmp_path / "run")
    monkeypatch.undo()
    whole = weights(run(recipe_of(model_folder), tmp_path / "whole"))
    assert same(whole, weights(run(recipe_of(model_folder), tmp_path / "run")))


def test_short_of_memory_training_waits(model_folder, tmp_path, monkeypatch):
    found, observer = saved_steps(monkeypatch), Quiet()
    run(recipe_of(model_folder), tmp_path / "plenty")
    assert found == [(1, True), (2, True), (3, True), (4, True)]
    found.clear()
    monkeypatch.setattr(callbacks, "free_memory", lambda: 1000)
    run(recipe_of(model_folder), tmp_path / "short", observer=observer)
    assert found == [(1, False), (2, False), (3, False), (4, False)]
    assert observer.notes == ["too little memory to copy weights and optimizer: training waits for checkpoints"]


def test_the_end_and_errors_are_saved_between_checkpoints(model_folder, tmp_path, monkeypatch):
    found = saved_steps(monkeypatch)
    recipe = recipe_of(model_folder, max_undefined=0.0, **BY_TIME)
    with pytest.raises(RewardError, match="max_undefined"):
        run(recipe, tmp_path / "undefined", reward=Letters(undefined=True))
    steps = len(read_json_lines(tmp_path / "undefined/metrics.jsonl"))
    assert found == [(steps, False)]
    found.clear()
    monkeypatch.setattr("omnithinker.train.faults.NONFINITE_LIMIT", 0)  # every step is one too many
    with pytest.raises(TrainingError, match="the last in step 1"):
        run(recipe_of(model_folder, **BY_TIME), tmp_path / "nonfinite")
    assert found == [(1, False)]


def test_the_best_is_kept_once_its_checkpoint_is_written(model_folder, tmp_path, monkeypatch):
    accuracies = {1: {"a": 0.1, "b": 0.1}, 2: {"a": 0.9, "b": 0.9}, 3: {"a": 0.2, "b": 0.2}, 4: {"a": 0.1, "b": 0.1}}
    found = saved_steps(monkeypatch)
    recipe = recipe_of(model_folder, evaluation={"every": 1, "validation_items": 2}, keep=1, **BY_TIME)
    run(recipe, tmp_path / "run", observer=Quiet(accuracies=accuracies))
    assert found == [(1, True), (2, True), (4, False)]
    assert read_json(tmp_path / "run/checkpoints/best/best.json")["step"] == 2
    assert [path.name for path in list_checkpoints(tmp_path / "run/checkpoints")] == ["step-4"]


def test_one_job_at_a_time_and_its_error_once():
    writer, gate, done = BackgroundWriter(), threading.Event(), []

    def first():
        assert gate.wait(60)
        done.append("first")

    writer.submit(first)
    threading.Timer(0, gate.set).start()
    writer.submit(lambda: done.append("second"))  # waits for the first
    writer.wait()
    assert done == ["first", "second"]
    writer.submit(lambda: [].pop())
    with pytest.raises(IndexError):
        writer.wait()
    writer.check()
    writer.submit(lambda: [].pop())
    writer.close()


def test_free_memory_is_the_smaller_of_machine_and_container(tmp_path):
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    meminfo = write("meminfo", "MemTotal: 900 kB\nMemAvailable:    100 kB\n")
    assert free_memory(meminfo, tmp_path) == 102_400
    write("memory.max", "90000\n")
    write("memory.current", "50000\n")
    write("memory.stat", "anon 1\ninactive_file 2000\nactive_file 1000\n")
    assert free_memory(meminfo, tmp_path) == 43_000
    write("memory.max", "max\n")
    assert free_memory(meminfo, tmp_path) == 102_400
    assert free_memory(tmp_path / "none", tmp_path) is None
