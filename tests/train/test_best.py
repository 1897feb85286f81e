"""Choosing by validation: best so far by task and overall, patience, and their way through a file."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from omnithinker.io.results import checked
from omnithinker.train.best import Best, Selection


def follow(accuracies, trained=("a", "b"), every=10):
    selection = Selection().with_trained(trained)
    found = []
    for number, measured in enumerate(accuracies, start=1):
        selection = selection.after(every * number, measured)
        found.append(selection)
    return found


def test_best_by_task_and_overall():
    *_, last = follow([{"a": 0.2, "b": 0.6}, {"a": 0.7, "b": 0.4}, {"a": 0.7, "b": 0.3}])
    assert last.overall == Best(20, pytest.approx(0.55))
    assert last.tasks == {"a": Best(20, 0.7), "b": Best(10, 0.6)}
    assert {name: best.step for name, best in last.folders().items()} == {"best": 20, "best-a": 20, "best-b": 10}
    assert [last.improved_at(step) for step in (10, 20, 30)] == [True, True, False]


def test_waited_counts_from_the_last_rise_of_the_mean():
    means = [0.5, 0.4, 0.5, 0.6, 0.6, 0.1, 0.7]
    assert [s.waited for s in follow([{"a": m, "b": m} for m in means])] == [0, 1, 2, 0, 1, 2, 0]
    # One task alone may rise without the mean.
    assert follow([{"a": 0.5, "b": 0.5}, {"a": 0.6, "b": 0.3}])[-1].waited == 1


def test_nothing_counts_before_every_task_was_trained():
    falling = [{"a": m, "b": m} for m in (0.5, 0.4, 0.3)]
    assert [s.waited for s in follow(falling, trained=("a",))] == [0, 0, 0]
    later = follow(falling, trained=("a",))[-1].with_trained(["b"]).after(40, {"a": 0.2, "b": 0.2})
    assert later.waited == 1


def test_a_file_gives_back_what_it_was_given():
    for selection in (Selection(), *follow([{"a": 1 / 3, "b": 0.1}, {"a": 0.0, "b": 0.0}])):
        assert checked(Selection, json.loads(json.dumps(asdict(selection))), "file", "advice") == selection
