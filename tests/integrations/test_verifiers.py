"""Our tasks as a taskset of the package verifiers."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.builders import ROOT

vf = pytest.importorskip("verifiers.v1", reason="the package verifiers is not installed")

from omnithinker.errors import RecipeError  # noqa: E402
from omnithinker.integrations.verifiers import RecipeTaskConfig, RecipeTaskset, RecipeTasksetConfig  # noqa: E402

RECIPE = """
[evaluation]
items = 3
[tasks.math]
data = "lab:math"
train_items = 3
rewards.math_answer = 1.0
rewards.format = 0.1
[tasks.qa]
data = "lab:qa"
system = "Be brief."
train_items = 2
rewards.short_answer = 0.5
[tasks.broken]
train = "broken.jsonl"
test = "broken.jsonl"
rewards.math_answer = 1.0
"""
ANSWER = "<think>t</think><answer>%s</answer>"


def taskset(folder: Path, **settings: Any) -> Any:
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "broken.jsonl").write_text('{"prompt": "?", "answer": ""}\n')
    return RecipeTaskset(RecipeTasksetConfig(task=RecipeTaskConfig(recipe=str(folder / "recipe.toml")), **settings))


def trace_of(task: Any, reply: str) -> Any:
    """Part of a trace that scoring uses."""
    trace = SimpleNamespace(last_reply=reply, rewards={}, metrics={})
    trace.record_reward = lambda name, value, weight=1.0: trace.rewards.__setitem__(name, value * weight)
    return trace


def test_rows_become_tasks(tmp_path: Path) -> None:
    tasks = list(taskset(tmp_path))
    assert [task.data.name for task in tasks] == ["math"] * 3 + ["qa"] * 2 + ["broken"]
    assert [task.data.idx for task in tasks] == list(range(6))
    assert (tasks[0].data.system_prompt, tasks[3].data.system_prompt) == (None, "Be brief.")
    assert len({task.key for task in tasks}) == 6
    assert [task.data.name for task in taskset(tmp_path, split="test", tasks=["qa"])] == ["qa"] * 3


def test_tasks_score_themselves_through_the_packages_own_scoring(tmp_path: Path) -> None:
    for task in taskset(tmp_path, tasks=["math"]):
        right, wrong = (trace_of(task, ANSWER % text) for text in (json.loads(task.data.row)["answer"], "no"))
        asyncio.run(task.score(right))
        asyncio.run(task.score(wrong))
        assert right.rewards == {"math_answer": 1.0, "format": 0.1}
        assert wrong.rewards == {"math_answer": 0.0, "format": 0.1}


def test_an_undefined_reward_is_an_error_of_the_task(tmp_path: Path) -> None:
    (task,) = taskset(tmp_path, tasks=["broken"])
    with pytest.raises(vf.TaskError, match="gold_unparseable"):
        asyncio.run(task.score(trace_of(task, ANSWER % "5")))


def test_a_recipe_has_to_be_named() -> None:
    with pytest.raises(RecipeError, match=r"--env\.taskset.task.recipe"):
        list(RecipeTaskset(RecipeTasksetConfig()))


def test_a_module_of_ones_own_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from verifiers.v1.utils.loaders import taskset_class

    page = ROOT / "docs" / "integrations.md"
    example = page.read_text().split("`my_tasks.py`", 1)[1].split("```python\n", 1)[1].split("```", 1)[0]
    (tmp_path / "my_tasks.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    assert taskset_class("my-tasks") is RecipeTaskset
