"""Documentation agrees with the code: commands parse, links resolve, examples run, reference pages are up to date."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import re
import shlex
import sys
import tomllib
from dataclasses import fields

import pytest

import omnithinker
from omnithinker.cli import COMMANDS, main
from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import FORMATS
from omnithinker.io.step_metrics import JudgeMetrics, Seconds, StepMetrics, TaskMetrics
from omnithinker.schedules.base import count_tasks
from omnithinker.schedules.shares import next_prompts
from tests.builders import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")), ROOT / "benchmarks/RESULTS.md"]
SOURCE = ROOT / "src/omnithinker"


@pytest.fixture(scope="module")
def reference():
    """The generator of the reference pages."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/reference.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    return module


def commands_of(page):
    """Return the ``omnithinker`` commands in a page's indented blocks, as lists of arguments."""
    lines = re.findall(r"^    (?:\| )?(omnithinker .*)$", page.read_text(), flags=re.MULTILINE)
    lines += re.findall(r"^      \| (omnithinker .*)$", page.read_text(), flags=re.MULTILINE)
    return [shlex.split(re.split(r"[|;>]|&& ", line)[0], comments=True)[1:] for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_parse(page, monkeypatch):
    for name in COMMANDS:
        monkeypatch.setattr(importlib.import_module(f"omnithinker.cli.{name}"), "run", lambda args: 0)
    for arguments in commands_of(page):
        assert main(arguments) == 0, arguments
    for name in re.findall(r"`omnithinker ([a-z]+)", page.read_text()):
        assert name in COMMANDS
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for target in re.findall(r"(?:^    |`)make ([\w-]+)", page.read_text(), flags=re.MULTILINE):
        assert target in targets
    for script in re.findall(r"(?:^    |`)(?:\w+=\S+ )?python (\S+\.py)", page.read_text(), flags=re.MULTILINE):
        assert (ROOT / script).exists(), script


def test_readme_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = commands_of(ROOT / "README.md")
    assert commands == [["init", "my.toml"], ["check", "my.toml"], ["study", "my.toml"]]
    assert main(commands[0]) == 0
    assert main([*commands[1], "--rows", "5"]) == 0
    assert main([*commands[2], "--dry-run"]) == 0
    assert "single:math" in capsys.readouterr().out


def test_quick_start_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "index.md").read_text()
    (settings,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my.toml").write_text(settings)
    assert load_recipe("my.toml").tasks["algebra"].rewards.keys() == {"math_answer", "format"}
    (source,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(compile(source, "docs/index.md", "exec"), names)
    assert names["run"].step == 2
    assert 0 <= names["run"].evaluation["math"].accuracy <= 1


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_resolve(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        if "://" in target:
            continue
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors_of(file.read_text()), f"{target}#{anchor}"


def anchors_of(text):
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def test_reference_equals_code(reference):
    assert {path.name for path in (DOCS / "reference").iterdir()} == reference.PAGES.keys()
    for name, build in reference.PAGES.items():
        assert (DOCS / "reference" / name).read_text() == build(), "run: python scripts/reference.py"


def test_reference_is_complete():
    """Look for names that do not come from the generator."""

    def keys(value):
        for key, child in value.items() if isinstance(value, dict) else ():
            yield from keys(child) if isinstance(child, dict) else [key]

    settings = (DOCS / "reference/settings.md").read_text()
    optional = ["model.lora.rank=4", "warmup.max_steps=1", "tasks.qa.demonstration={answer}"]
    recipe = load_recipe("lab", ["judges.default.kind=chat", "judges.default.model=m", *optional])
    names = {*keys(recipe.model_dump())} - {"kind"}
    assert {"learning_rate", "min_share", "requests_per_minute", "on_error", "rank"} <= names
    assert [name for name in names if f"| `{name}`" not in settings] == []
    for table in Recipe.model_fields.keys() - {"seed", "output", "trackers", "tracker_completions", "schedules"}:
        assert f"## `[{table}" in settings

    metrics = (DOCS / "reference/metrics.md").read_text()
    step = StepMetrics(
        step=1, tokens=0, seconds=Seconds(0, 0, 0), tasks={"t": TaskMetrics()}, judges={"j": JudgeMetrics()}
    )
    names = {re.sub("^(task/t|judge/j)/", "", name) for name in step.to_record()}
    assert {"seconds/wait", "clip_frac", "cost"} <= names
    assert [name for name in names if f"| `{name}` |" not in metrics] == []

    assert all(f"## `{name}`" in (DOCS / "reference/api.md").read_text() for name in omnithinker.__all__)
    assert all(f"## {name}\n" in (DOCS / "reference/cli.md").read_text() for name in COMMANDS)


def names_table(heading):
    """Return the rows of a table in names.md that begin with a name, as lists of cells."""
    section = (DOCS / "names.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line[1:-1].split("|") for line in section.splitlines() if line.startswith("| `")]
    assert len(rows) > 10
    assert {len(row) for row in rows} == {4}
    return rows


def quoted(cell):
    """Return the names in a cell; values in quotation marks and remarks in parentheses are left out."""
    return re.findall(r"`([^`\"]+)`", re.sub(r"\(.*\)", "", cell))


def test_names_of_settings_and_metrics(reference):
    settings = {quoted(row[0])[0] for row in names_table("Settings")}
    assert settings - {*reference.setting_names()} == set()
    metrics = {quoted(row[0])[0] for row in names_table("Metrics")}
    assert metrics - reference.metric_names() == set()


@pytest.mark.trl
def test_names_in_trl():
    trl = pytest.importorskip("trl")
    transformers = pytest.importorskip("transformers")
    settings = {name for row in names_table("Settings") for name in quoted(row[1])}
    assert settings - {each.name for each in fields(trl.GRPOConfig)} == set()
    source = inspect.getsource(sys.modules[trl.GRPOTrainer.__module__])
    logged = {
        name.replace("{reward_func_name}", "<function>")
        for name in re.findall(r'_metrics\[mode\]\[f?"(.*?)"\]', source)
    }
    logged |= set(re.findall(r'logs\["(\w+)"\]', inspect.getsource(transformers.Trainer)))
    assert {name for row in names_table("Metrics") for name in quoted(row[1])} - logged == set()


@pytest.mark.trl
def test_every_setting_of_trl_has_a_counterpart_or_a_reason():
    trl = pytest.importorskip("trl")
    text = (DOCS / "trl.md").read_text()
    rows = [row.split(" | ") for row in re.findall(r"^\| (`.*) \|$", text, re.MULTILINE)]
    named = [name for row in rows if "`GRPOConfig`" not in row[0] for name in re.findall(r"`(\w+)`", row[0])]
    ours = {each.name for each in fields(trl.GRPOConfig)}
    assert ours - set(named) == set()
    settings = text.split("\n## Model and generation\n")[1]
    listed = [
        name
        for row in re.findall(r"^\| (`.*) \|$", settings, re.MULTILINE)
        if not row.startswith("`GRPOC")
        for name in re.findall(r"`(\w+)`", row.split(" | ")[0])
    ]
    assert sorted(listed) == sorted(ours)  # each once, and none that TRL does not have


def test_counterparts_of_trl_are_settings(reference):
    text = (DOCS / "trl.md").read_text()
    groups = "model|sampling|training|evaluation|tasks"
    named = set(re.findall(rf"`((?:{groups})\.[\w.]+)(?: = [^`]*)?`", text))
    assert len(named) > 30
    assert named - {*reference.setting_names()} == set()


def test_contributing_names_all_rooms():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.split("\n## Rooms\n")[1].split("\n## ")[0]
    rooms = {name for line in table.splitlines() if line.startswith("| `") for name in quoted(line.split("|")[1])}
    existing = {path.stem for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == existing | {"errors", "types"}
    for path in re.findall(r"`([\w/]+\.py)`", text.replace("utils.py", "")):
        assert "NAME" in path or any((folder / path).exists() for folder in (SOURCE, ROOT)), path


def test_method_page_names_functions():
    text = (DOCS / "method.md").read_text()
    rows = re.findall(r"^\|[^|]*\|[^|]*\| (.*) \|$", text, flags=re.MULTILINE)
    names = [
        (file, name)
        for file, group in re.findall(r"`([\w/]+\.py)`((?: `\w+`,?)*)", " ; ".join(rows))
        for name in re.findall(r"`(\w+)`", group)
    ]
    assert len(names) >= 8
    for file, name in names:
        assert re.search(rf"(def|class) {name}\b", (SOURCE / file).read_text()), f"{file}: {name}"


def test_documented_schedule():
    (source,) = re.findall(r"```python\n(class WorstFirst:.*?)```", (DOCS / "method.md").read_text(), re.DOTALL)
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


def test_documented_task_is_the_example():
    text = (DOCS / "tasks.md").read_text()
    block = tomllib.loads(re.search(r"```toml\n(\[tasks\.colours\].*?)```", text, re.DOTALL)[1])
    example = tomllib.loads((ROOT / "examples/fifth-task/recipe.toml").read_text())
    assert block["tasks"]["colours"] == example["tasks"]["colours"]
    row = json.loads(re.search(r"```json\n(.*?)\n```", text, re.DOTALL)[1])
    assert row.keys() == json.loads((ROOT / "examples/fifth-task/colours.jsonl").open().readline()).keys()


def test_every_row_format_has_an_example():
    text = (DOCS / "tasks.md").read_text()
    examples = [tomllib.loads(block) for block in re.findall(r"```toml\n(\[tasks\..*?)```", text, re.DOTALL)]
    tasks = {name: task for example in examples for name, task in example["tasks"].items() if "rewards" in task}
    tasks = {name: task for name, task in tasks.items() if "train" in task or "data" in task}
    recipe = Recipe.model_validate({"tasks": tasks})
    used = {task.format for task in recipe.tasks.values()}
    assert {id(FORMATS.load(name)) for name in FORMATS} == {id(FORMATS.load(name)) for name in used if name}
    table = text[text.index("## Row formats") :]
    assert [name for name in FORMATS if f"`{name}`" not in table] == []


def test_documented_task_trains(tmp_path, capsys):
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
