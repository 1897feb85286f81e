"""Documentation tells the truth: its commands exist, its links lead somewhere, its examples run."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from omnithinker.cli import COMMANDS, main
from omnithinker.config.file import load_recipe
from omnithinker.io.step_metrics import Seconds, StepMetrics, TaskMetrics
from omnithinker.schedules.base import count_tasks
from omnithinker.schedules.shares import next_prompts
from tests.builders import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_in_docs_exist(page):
    text = page.read_text()
    for command in re.findall(r"(?:^    |`)omnithinker (\w+)", text, flags=re.MULTILINE):
        assert command in COMMANDS
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for target in re.findall(r"(?:^    |`)make (\w+)", text, flags=re.MULTILINE):
        assert target in targets


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_method_page_names_real_functions():
    text = (ROOT / "docs" / "method.md").read_text()
    rows = re.findall(r"^\|[^|]*\|[^|]*\| (.*) \|$", text, flags=re.MULTILINE)
    found = 0
    for file, names in re.findall(r"`([\w/]+\.py)`((?: `\w+`,?)*)", " ; ".join(rows)):
        source = (ROOT / "src" / "omnithinker" / file).read_text()
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"(def|class) {name}\b", source), f"{file}: {name}"
            found += 1
    assert found >= 8


def test_the_schedule_in_docs_does_what_it_says():
    (source,) = re.findall(r"```python\n(class WorstFirst:.*?)```", (ROOT / "docs/method.md").read_text(), re.DOTALL)
    names = {"next_prompts": next_prompts}
    exec(source, names)
    schedule = names["WorstFirst"]({"a": 3, "b": 9}, prompts_per_step=2, steps=3, seed=0)
    state = schedule.initial_state()
    trained = []
    for step, accuracy in enumerate((0.5, 0.9, 0.7)):
        tasks = count_tasks(schedule.batch(step, state))
        trained.append(dict(tasks))
        measured = {task: TaskMetrics(accuracy=accuracy) for task in tasks}
        metrics = StepMetrics(step=step + 1, tokens=0, seconds=Seconds(0, 0, 0), tasks=measured)
        state = schedule.after(step, state, metrics)
    assert trained == [{"a": 2}, {"b": 2}, {"a": 2}]
    assert state == {"consumed": {"a": 4, "b": 2}, "last": {"a": 0.7, "b": 0.9}}


def test_the_block_in_docs_is_the_example():
    text = (ROOT / "docs" / "tasks.md").read_text()
    block = tomllib.loads(re.search(r"```toml\n(\[tasks\.colours\].*?)```", text, re.DOTALL)[1])
    example = tomllib.loads((ROOT / "examples/fifth-task/recipe.toml").read_text())
    assert block["tasks"]["colours"] == example["tasks"]["colours"]
    row = json.loads(re.search(r"```json\n(.*?)\n```", text, re.DOTALL)[1])
    assert row.keys() == json.loads((ROOT / "examples/fifth-task/colours.jsonl").open().readline()).keys()


def test_a_fifth_task_trains_as_documented(tmp_path, capsys):
    recipe = str(ROOT / "examples/fifth-task/recipe.toml")
    small = ["--set", "evaluation.items=4", "--set", "sampling.completions=2"]
    assert main(["train", recipe, "--task", "colours", "--output", str(tmp_path / "run"), *small]) == 0
    assert "colours" in capsys.readouterr().out
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["order"] == ["colours"]
    assert result["steps"] == 2  # 12 rows, 6 a step
    assert set(result["tasks"]) == {"qa", "colours"}
    metrics = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    assert all(record["task/colours/kl"] is not None for record in metrics)


def test_readme_names_the_quick_recipe_that_make_runs():
    assert "omnithinker study lab-quick" in (ROOT / "Makefile").read_text()
    assert load_recipe("lab-quick").evaluation.items >= 200
