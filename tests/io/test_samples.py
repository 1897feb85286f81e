"""Trackers get a few completions of the steps in ``rollouts.jsonl``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from omnithinker.config.recipe import Recipe
from omnithinker.io.samples import Sample, SampleReader, markdown
from tests.io.test_trackers import Memory, memory, metrics, open_trackers, settings, train, write_log

__all__ = ["memory"]  # fixture


def group(step: int, task: str = "a", count: int = 3) -> str:
    completions = [
        {"text": f"{task}{step}.{i}", "reward": i / 2 if i else None, "components": {"x": i / 2 if i else None}}
        for i in range(count)
    ]
    return json.dumps({"step": step, "task": task, "prompt": f"p{step}", "completions": completions}) + "\n"


def sample(step: int, i: int, task: str = "a") -> Sample:
    return Sample(task, f"p{step}", f"{task}{step}.{i}", i / 2 if i else None, {"x": i / 2 if i else None})


def texts(memory: Memory) -> list[tuple[int, str]]:
    return [(step, found.completion) for step, found in memory.samples]


def test_a_line_is_read_once_and_only_when_it_is_whole(tmp_path):
    file = tmp_path / "rollouts.jsonl"
    reader = SampleReader(file, 2)
    assert reader.of(1) == []
    whole = group(1)
    file.write_text(whole + group(1, "b", 1) + group(5)[:20])
    assert reader.of(1) == [sample(1, 0), sample(1, 1), sample(1, 0, "b")]
    assert reader.of(2) == []
    file.write_text(whole + group(1, "b", 1) + group(5))
    assert (reader.of(5), reader.of(5)) == ([sample(5, 0), sample(5, 1)], [])


@pytest.mark.parametrize("line", ["nonsense\n", "[]\n", '{"step": 1}\n', '{"step": 1, "completions": [3]}\n', "1\n"])
def test_a_line_that_is_no_record_is_left_out(tmp_path, line):
    (tmp_path / "rollouts.jsonl").write_text(line + group(1))
    assert SampleReader(tmp_path / "rollouts.jsonl", 1).of(1) == [sample(1, 0)]


def test_a_file_that_cannot_be_read_has_no_samples(tmp_path):
    (tmp_path / "rollouts.jsonl").mkdir()
    assert SampleReader(tmp_path / "rollouts.jsonl", 1).of(1) == []


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, [(1, "a1.0"), (5, "a5.0")]), (2, None)])
def test_as_many_completions_as_the_recipe_asks_for_at_their_steps(tmp_path, memory, count, expected):
    (tmp_path / "rollouts.jsonl").write_text(group(1) + group(5))
    write_log(tmp_path, *range(1, 7))
    trackers = open_trackers(settings("tensorboard", tracker_completions=count), tmp_path, pytest.fail)
    trackers.step(metrics(6))
    assert texts(memory) == ([(s, f"a{s}.{i}") for s in (1, 5) for i in range(2)] if expected is None else expected)
    assert [step for step, _ in memory.told] == [1, 2, 3, 4, 5, 6]


def test_completions_of_steps_that_a_tracker_has_are_not_sent_again(tmp_path, memory):
    memory.last = 1
    (tmp_path / "rollouts.jsonl").write_text(group(1) + group(5))
    write_log(tmp_path, *range(1, 6))
    open_trackers(settings("tensorboard", tracker_completions=1), tmp_path, pytest.fail).step(metrics(5))
    assert texts(memory) == [(5, "a5.0")]


def test_they_change_no_number_of_a_run_and_are_on_by_default():
    assert settings(tracker_completions=0).digest() == settings().digest()
    assert Recipe.model_validate({"tasks": settings().model_dump()["tasks"]}).tracker_completions == 4


def test_texts_are_code_blocks_whatever_they_hold():
    hostile = Sample("t", "# p\nq", "<b>x</b>\u2028```\n", None, {"math": 1.0, "tags": None})
    assert markdown([hostile, Sample("t", "# p\nq", "", 0.5, {"math": 0.5, "tags": 0.25})]) == {
        "t": "prompt\n\n    # p\n    q\n\n"
        "reward undefined (math 1, tags undefined)\n\n    <b>x</b>\n    ```\n\n"
        "reward 0.5 (math 0.5, tags 0.25)\n\n    "
    }


class Service:
    """Stands in for the packages of W&B and trackio; keeps what is logged."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, dict]] = []
        self.broken = False

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        pass

    def table(self, columns, data):
        if self.broken:
            raise RuntimeError("no tables")
        return {"columns": columns, "data": data}


@pytest.fixture(params=["wandb", "trackio"])
def service(request, monkeypatch) -> tuple[str, Service]:
    found, package = Service(), ModuleType(request.param)
    package.init = lambda **_: found
    package.Settings = SimpleNamespace
    package.Table = found.table
    monkeypatch.setitem(sys.modules, request.param, package)
    monkeypatch.setattr("omnithinker.io.trackers.find_spec", lambda name: name)
    return request.param, found


def test_wandb_and_trackio_get_a_table_with_the_metrics_of_its_step(tmp_path, service):
    name, found = service
    (tmp_path / "rollouts.jsonl").write_text(group(1))
    write_log(tmp_path, 1, 2)
    open_trackers(settings(name, tracker_completions=2), tmp_path, pytest.fail).step(metrics(2))
    (first, values), (second, others) = found.logged
    assert (first, second) == (1, 2)
    assert values["completions"] == {
        "columns": ["step", "task", "prompt", "completion", "reward", "components"],
        "data": [[1, "a", "p1", "a1.0", None, '{"x": null}'], [1, "a", "p1", "a1.1", 0.5, '{"x": 0.5}']],
    }
    assert values["loss"] == 0.5
    assert "completions" not in others


def test_a_table_that_fails_drops_the_tracker_and_not_the_run(tmp_path, service):
    name, found = service
    found.broken, notes = True, []
    (tmp_path / "rollouts.jsonl").write_text(group(1))
    write_log(tmp_path, 1, 2)
    open_trackers(settings(name), tmp_path, notes.append).step(metrics(2))
    assert found.logged == []
    assert notes == [f"tracker {name} failed and gets no further metrics (metrics.jsonl has all of them): no tables"]


def test_tensorboard_has_the_completions_of_a_run(recipe, tmp_path):
    pytest.importorskip("tensorboard")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "run"
    train(recipe, folder, '["tensorboard"]')
    reader = accumulator.EventAccumulator(str(folder / "trackers/tensorboard"), size_guidance={"tensors": 0})
    reader.Reload()
    found = {event.step: event.tensor_proto.string_val[0].decode() for event in _texts(reader)}
    records = [json.loads(line) for line in Path(folder / "rollouts.jsonl").read_text().splitlines()]
    assert list(found) == [record["step"] for record in records] == [1]
    samples = [
        Sample("up", records[0]["prompt"], one["text"], one["reward"], one["components"])
        for one in records[0]["completions"][:4]
    ]
    assert len(samples) > 1
    assert found[1] == markdown(samples)["up"]


def _texts(reader):
    return reader.Tensors("completions/up/text_summary")
