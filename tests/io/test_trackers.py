"""Trackers get every number of a run once, whatever happens to the run, and nothing that is secret."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omnithinker.cli import main
from omnithinker.config.recipe import Recipe
from omnithinker.config.sharing import shareable_settings
from omnithinker.errors import BadInput
from omnithinker.io.step_metrics import Seconds, StepMetrics, TaskMetrics
from omnithinker.io.trackers import TRACKER_TYPES, Trackers, numbers, require

SECRET = "hunter2"


class Memory:
    """A tracker that keeps what it is told in the run folder's name; ``broken`` ones fail at that step."""

    told: list[tuple[int, dict[str, float]]]
    closed: int
    broken: int | None = None
    last = 0

    def __init__(self) -> None:
        self.told, self.samples, self.closed = [], [], 0

    def log(self, step, values, samples=()) -> None:
        if step == self.broken:
            raise RuntimeError("no network")
        self.told.append((step, dict(values)))
        self.samples += [(step, sample) for sample in samples]

    def close(self) -> None:
        self.closed += 1


def settings(*trackers: str, **more: object) -> Recipe:
    tasks = {"math": {"data": "lab:math", "rewards": {"math_answer": 1.0}}}
    return Recipe.model_validate({"trackers": trackers, "tasks": tasks, **more})


def open_trackers(recipe: Recipe, folder: Path, notify: Callable[[str], None]) -> Trackers:
    completions = recipe.tracker_completions
    return Trackers(recipe.trackers, shareable_settings(recipe), folder, notify, completions=completions)


@pytest.fixture
def memory(monkeypatch) -> Memory:
    """Stands in for TensorBoard."""
    found = Memory()
    monkeypatch.setitem(TRACKER_TYPES, "tensorboard", lambda folder, settings: found)
    monkeypatch.setattr("omnithinker.io.trackers.find_spec", lambda name: name)
    return found


def write_log(folder: Path, *steps: int) -> None:
    lines = [json.dumps(metrics(step).to_record()) + "\n" for step in steps]
    (folder / "metrics.jsonl").write_text("".join(lines))


def metrics(step: int) -> StepMetrics:
    tasks = {"a": TaskMetrics(completions=4)}
    return StepMetrics(step=step, tokens=10, seconds=Seconds(0.5, 0.0, 0.5), loss=step / 2, tasks=tasks)


def shown(step: int) -> dict[str, float]:
    """Numbers of a step by name; those that are undefined are left out."""
    times = {"seconds/generate": 0.5, "seconds/wait": 0.0, "seconds/train": 0.5, "tokens_per_second": 10.0}
    counts = dict.fromkeys(("updates", "nonfinite", "task/a/tokens", "task/a/undefined", "task/a/dropped_groups"), 0)
    return times | counts | {"tokens": 10, "loss": step / 2, "task/a/completions": 4}


def test_steps_go_out_once_with_what_was_measured_after_them(tmp_path, memory):
    for kind in ("eval", "validation"):
        (tmp_path / kind).mkdir()
        task = {"task": "a", "accuracy": 0.25, "components": {"tags": 0.5, "none": None}, "outcomes": [1.0]}
        (tmp_path / kind / "step-2.json").write_text(json.dumps({"step": 2, "tasks": {"a": task}}))
    trackers = open_trackers(settings("tensorboard"), tmp_path, print)
    for step in (1, 2):
        write_log(tmp_path, *range(1, step + 1))
        trackers.step(metrics(step))
    trackers.result(2, {"a": {"accuracy": 0.75}})
    trackers.close()
    after = {
        f"{kind}/a/{name}": v
        for kind in ("eval", "validation")
        for name, v in (("accuracy", 0.25), ("components/tags", 0.5))
    }
    assert memory.told == [(1, shown(1)), (2, shown(2) | after), (2, {"result/a/accuracy": 0.75})]
    assert memory.closed == 1


def test_a_run_that_goes_on_tells_what_a_tracker_has_missed_and_nothing_twice(tmp_path, memory):
    memory.last = 2  # step 3 was logged, then the process was killed; the run goes on with step 4
    write_log(tmp_path, 1, 2, 3, 4)
    open_trackers(settings("tensorboard"), tmp_path, print).step(metrics(4))
    assert [step for step, _ in memory.told] == [3, 4]


def test_steps_that_are_computed_again_are_not_told_again(tmp_path, memory):
    memory.last = 3  # the newest checkpoint was that of step 1
    trackers = open_trackers(settings("tensorboard"), tmp_path, print)
    for step in (2, 3, 4):
        write_log(tmp_path, *range(1, step + 1))
        trackers.step(metrics(step))
    assert [step for step, _ in memory.told] == [4]


def test_a_run_that_was_killed_before_its_last_evaluation_tells_its_steps_too(tmp_path, memory):
    write_log(tmp_path, 1, 2)
    open_trackers(settings("tensorboard"), tmp_path, print).result(2, {"a": {"accuracy": 1.0}})
    assert [step for step, _ in memory.told] == [1, 2, 2]


def test_a_tracker_that_fails_is_left_out_and_the_user_is_told(tmp_path, memory):
    memory.broken, notes = 2, []
    trackers = open_trackers(settings("tensorboard"), tmp_path, notes.append)
    for step in (1, 2, 3):
        write_log(tmp_path, *range(1, step + 1))
        trackers.step(metrics(step))
    assert [step for step, _ in memory.told] == [1]
    assert notes == [
        "tracker tensorboard failed and gets no further metrics (metrics.jsonl has all of them): no network"
    ]


def test_a_tracker_that_cannot_be_opened_is_bad_input(tmp_path, memory, monkeypatch):
    def refuse(folder, settings):
        raise RuntimeError("no key; log in")

    monkeypatch.setitem(TRACKER_TYPES, "wandb", refuse)
    with pytest.raises(
        BadInput, match="trackers: wandb cannot be opened: no key; log in; fix that, or remove wandb from 'trackers'"
    ):
        open_trackers(settings("tensorboard", "wandb"), tmp_path, print)
    assert memory.closed == 1


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("omnithinker.io.trackers.find_spec", lambda name: None if name == "trackio" else name)
    require(("tensorboard",))
    with pytest.raises(BadInput, match=r"trackio is not installed; run: pip install 'omnithinker\[trackio\]'"):
        require(("tensorboard", "trackio"))
    monkeypatch.setattr("omnithinker.io.trackers.find_spec", lambda name: None)
    with pytest.raises(
        BadInput, match=r"wandb, trackio are not installed; run: pip install 'omnithinker\[wandb,trackio\]'"
    ):
        require(("wandb", "trackio"))


def test_what_is_no_number_is_left_out():
    values = {"a": 1, "b": None, "c": "x", "d": {"e": 0.5, "f": [1.0]}, "g": True}
    assert numbers(values, "p") == {"p/a": 1.0, "p/d/e": 0.5, "p/g": 1.0}


def with_addresses() -> Recipe:
    judge = {"kind": "chat", "model": "m", "base_url": f"https://me:{SECRET}@judge.example/v1"}
    sandbox = {"backend": "command", "target": f"run --token {SECRET}"}
    return settings(judges={"default": judge}, sandbox=sandbox)


def test_the_recipe_is_sent_without_addresses_and_commands():
    sent = shareable_settings(with_addresses())
    assert SECRET not in json.dumps(sent)
    assert (sent["training"]["prompts_per_step"], sent["judges"]["default"]["model"]) == (16, "m")


def test_trackers_may_change_while_a_run_goes_on_and_occur_once():
    assert settings("tensorboard").digest() == settings().digest()
    with pytest.raises(ValueError, match="same entry twice"):
        settings("tensorboard", "tensorboard")


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reader = accumulator.EventAccumulator(str(folder / "trackers/tensorboard"), size_guidance={"scalars": 0})
    reader.Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def train(recipe: Path, folder: Path, trackers: str) -> None:
    command = ["train", str(recipe), "--task", "up", "--output", str(folder), "--set", f"trackers={trackers}"]
    assert main([*command, "--set", "training.epochs=2"]) == 0


def test_tensorboard_has_every_step_of_a_run_also_after_it_went_on(recipe, tmp_path):
    pytest.importorskip("tensorboard")
    folder = tmp_path / "run"
    train(recipe, folder, '["tensorboard"]')
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records] == [1, 2, 3, 4]
    for _ in range(2):
        found = events(folder)
        for name in ("loss", "task/up/reward", "task/up/entropy"):
            assert found[name] == [(r["step"], pytest.approx(r[name], rel=1e-6)) for r in records]
        assert [step for step, _ in found["eval/up/accuracy"]][:3] == [1, 2, 3]
        final = json.loads((folder / "result.json").read_text())["tasks"]["down"]["entropy"]
        assert found["result/down/entropy"] == [(4, pytest.approx(final, rel=1e-6))]
        (folder / "result.json").unlink()  # as if killed just before it
        train(recipe, folder, '["tensorboard"]')


def leveldb_records(raw: bytes) -> Iterator[bytes]:
    """Records of a log of LevelDB's format behind a header of 7 bytes."""
    block, head, at, parts = 32768, 7, 7, b""
    while at + head <= len(raw):
        if block - at % block < head:
            at += block - at % block
            continue
        _, length, kind = struct.unpack("<IHB", raw[at : at + head])
        parts += raw[at + head : at + head + length]
        at += head + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def wandb_records(folder: Path) -> tuple[list[dict[str, float]], bytes]:
    """Return history and all bytes of offline W&B runs."""
    wire = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    rows, raw = [], b""
    for file in sorted(folder.glob("trackers/wandb/offline-run-*/run-*.wandb")):
        raw += file.read_bytes()
        for data in leveldb_records(file.read_bytes()):
            line = wire.Record()
            line.ParseFromString(data)
            if line.WhichOneof("record_type") == "history":
                rows.append({(i.key or "/".join(i.nested_key)): json.loads(i.value_json) for i in line.history.item})
    return rows, raw


@pytest.mark.slow
def test_wandb_offline_has_every_step_once_over_two_starts_and_no_secret(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    monkeypatch.setattr("sys.argv", ["omnithinker", f"--key={SECRET}"])
    chosen = with_addresses().model_copy(update={"trackers": ("wandb",)})
    for steps in ([1, 2], [2, 3]):
        trackers = open_trackers(chosen, tmp_path, pytest.fail)
        for step in steps:
            write_log(tmp_path, *range(1, step + 1))
            trackers.step(metrics(step))
        if steps[-1] == 3:
            trackers.result(3, {"a": {"accuracy": 0.5}})
        trackers.close()
    rows, raw = wandb_records(tmp_path)
    assert [(row["_step"], row["loss"]) for row in rows] == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert rows[-1]["result/a/accuracy"] == 0.5
    kept = json.loads((tmp_path / "trackers/wandb.json").read_text())
    assert kept["step"] == 3
    assert {p.name.rsplit("-", 1)[1] for p in tmp_path.glob("trackers/wandb/offline-run-*")} == {kept["id"]}
    everything = raw + b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert SECRET.encode() not in everything


@pytest.mark.slow
def test_trackio_has_every_step_once_over_two_starts(tmp_path):
    pytest.importorskip("trackio")
    # In processes of their own: trackio keeps its folder and the run at hand in globals.
    start = """
import json, pathlib, sys
from tests.io.test_trackers import metrics, open_trackers, settings, write_log
folder, steps = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
trackers = open_trackers(settings("trackio"), folder, sys.exit)
for step in steps:
    write_log(folder, *range(1, step + 1))
    trackers.step(metrics(step))
if steps[-1] == 3:
    trackers.result(3, {"a": {"accuracy": 0.5}})
trackers.close()
"""
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio"), "TRACKIO_PROJECT": "p"}
    folder = tmp_path / "run"
    folder.mkdir()
    for steps in ("[1, 2]", "[2, 3]"):
        done = subprocess.run(
            [sys.executable, "-c", start, str(folder), steps],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    with contextlib.closing(sqlite3.connect(tmp_path / "trackio" / "p.db")) as database:
        rows = database.execute("select run_name, step, metrics from metrics order by id").fetchall()
    found = [(step, json.loads(metrics)) for _, step, metrics in rows]
    assert found == [*((step, shown(step)) for step in (1, 2, 3)), (3, {"result/a/accuracy": 0.5})]
    assert len({name for name, _, _ in rows}) == 1
