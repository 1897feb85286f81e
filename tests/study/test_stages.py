"""Stages by recipe: names, folders, needs, the index, costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from omnithinker.cli import main
from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import SCHEDULES
from omnithinker.errors import BadInput, RecipeError
from omnithinker.schedules.base import FixedSchedule, Item
from omnithinker.schedules.plan import RunPlan, build_schedule
from omnithinker.study.cost import training_prompts
from omnithinker.study.runner import pending_stages
from omnithinker.study.stage import Stage
from omnithinker.study.stages import STAGES, list_stages, stages_index
from tests.builders.study import study


def recipe_of(own=None, **settings) -> Recipe:
    return Recipe.model_validate(
        {
            "seed": 10,
            "training": {"prompts_per_step": 4},
            "study": settings,
            "tasks": {
                name: {"data": "lab:math", "rewards": {"math_answer": 1.0}} | (own or {}).get(name, {})
                for name in ("math", "code")
            },
        }
    )


def test_stages_of_the_default_study():
    stages = {stage.name: stage for stage in list_stages(recipe_of())}
    assert list(stages) == ["base", "single:math", "single:code", "plan", "curriculum:best", "joint", "report"]
    assert stages["plan"].needs == ("base", "single:math", "single:code")
    assert stages["curriculum:best"].needs == ("plan",)
    assert stages["report"].needs == tuple(stages)[:-1]
    assert stages["joint"].needs == stages["base"].needs == ()


def test_folders_of_stages_with_seeds_and_orders():
    recipe = recipe_of(orders=["worst", "code>math"], schedules=[], seeds=[0, 2])
    folders = [stage.folder(Path()).name for stage in list_stages(recipe) if stage.evaluates]
    assert folders == [
        "base",
        "single-math-seed0",
        "single-math-seed2",
        "single-code-seed0",
        "single-code-seed2",
        "curriculum-worst-seed0",
        "curriculum-worst-seed2",
        "curriculum-code-math-seed0",
        "curriculum-code-math-seed2",
    ]


def test_runs_of_stages(tmp_path):
    recipe = recipe_of(orders=["best", "worst", "code>math"], schedules=["adaptive"], seeds=[3])
    best, worst = ["code", "math"], ["math", "code"]
    plan = {"tasks": worst, "bwt": [[0, 0], [0, 0]], "order": best, "worst": worst, "ranking": []}
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "greedy": best, "forgettability": best}))
    plans = {stage.name: stage.run_plan(recipe, tmp_path) for stage in list_stages(recipe)}
    assert plans == {
        "base": None,
        "single:math": RunPlan("curriculum", ("math",), 13),
        "single:code": RunPlan("curriculum", ("code",), 13),
        "plan": None,
        "curriculum:best": RunPlan("curriculum", ("code", "math"), 13),
        "curriculum:worst": RunPlan("curriculum", ("math", "code"), 13),
        "curriculum:code>math": RunPlan("curriculum", ("code", "math"), 13),
        "adaptive": RunPlan("adaptive", ("math", "code"), 13),
        "report": None,
    }


def test_the_index_describes_every_stage():
    index = {record["name"]: record for record in stages_index(recipe_of(schedules=["joint", "mixture"]))}
    assert index["base"] == {
        "name": "base",
        "kind": "base",
        "label": "base model",
        "folder": "base",
        "subject": "",
        "seed": None,
        "needs": [],
        "schedule": None,
    }
    assert index["single:code"] == {
        "name": "single:code",
        "kind": "single",
        "label": "code alone",
        "folder": "single-code",
        "subject": "code",
        "seed": None,
        "needs": [],
        "schedule": "curriculum",
    }
    assert index["mixture"]["label"] == "mixture"
    assert [index["joint"][key] for key in ("kind", "subject", "schedule")] == ["schedule", "joint", "joint"]
    assert index["plan"]["folder"] is index["report"]["folder"] is None
    several = stages_index(recipe_of(seeds=[0, 1], orders=["code>math"]))
    assert [(record["seed"], record["label"]) for record in several if record["kind"] == "curriculum"] == [
        (0, "curriculum code > math"),
        (1, "curriculum code > math"),
    ]


@pytest.mark.parametrize(
    ("schedules", "message"),
    [
        (["jiont"], "no schedule 'jiont'; did you mean 'joint'?"),
        (["curriculum"], "'curriculum' needs a task order; list its orders in study.orders"),
        (["joint", "joint"], "has the same entry twice"),
    ],
)
def test_bad_schedules_are_named_with_their_place(tmp_path, schedules, message):
    file = tmp_path / "my.toml"
    file.write_text(f"[study]\nschedules = {schedules}\n[tasks.a]\ndata = 'lab:math'\nrewards.math_answer = 1.0\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    assert str(caught.value) == f"{file}:2: study.schedules: {message}"


def test_pending_stages(tmp_path):
    recipe = recipe_of()
    (tmp_path / "base").mkdir()
    (tmp_path / "base/result.json").write_text("{}")
    assert [stage.name for stage in pending_stages(recipe, tmp_path)][:2] == ["single:math", "single:code"]
    assert pending_stages(recipe, tmp_path, "base") == []
    assert [stage.name for stage in pending_stages(recipe, tmp_path, "report")] == ["report"]
    with pytest.raises(BadInput, match="stage plan needs the results of: single:math, single:code; run these stages"):
        pending_stages(recipe, tmp_path, "plan")


def test_the_cost_of_a_schedule_that_decides_is_an_upper_bound():
    recipe = recipe_of(own={"code": {"completions": 16}})
    sizes = {"math": 10, "code": 6}

    def prompts(name):
        return training_prompts(build_schedule(RunPlan(name, ("math", "code"), 0), recipe, sizes), recipe)

    assert prompts("joint") == Counter(sizes)
    assert prompts("mixture") == {"math": 8, "code": 8}
    assert prompts("adaptive") == {"code": 16}


def test_stages_need_no_torch():
    code = "import sys, omnithinker.study.status, omnithinker.study.stages as s\n[s.STAGES.load(k) for k in s.STAGES]\n"
    code += "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Alternate(FixedSchedule):
    """A schedule that no source file knows: one prompt of the first task per step."""

    label = "alternating"
    ordered = False
    settings_class = None

    @classmethod
    def build(cls, inputs, settings):
        task = next(iter(inputs.sizes))
        return cls([(Item(task, index, 0),) for index in range(2)])


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteStage(Stage):
    """A stage that no source file knows: writes one file."""

    kind = "note"
    evaluates = False

    @classmethod
    def of_study(cls, recipe, earlier):
        return [cls(name="note", needs=("base",))]

    @property
    def label(self):
        return "note"

    def result(self, study):
        return study / "note.txt"

    def run(self, context, study, view):
        self.result(study).write_text(", ".join(context.tasks))


def test_a_new_schedule_and_a_new_stage_need_one_registry_line_each(recipe, tmp_path, register, capsys):
    register(SCHEDULES, "alternate", f"{__name__}:Alternate")
    register(STAGES, "note", f"{__name__}:NoteStage")
    settings = ["--set", "study.schedules=['alternate']", "--set", "study.orders=[]", "--set", "evaluation.every=0"]
    folder = tmp_path / "extended"
    for stage in ("base", "alternate", "note"):
        assert study(recipe, *settings, "--output", folder, "--stage", stage) == 0
    result = json.loads((folder / "alternate/result.json").read_text())
    assert (result["name"], result["schedule"], result["steps"], result["completions"]) == (
        "alternate",
        "alternate",
        2,
        6,
    )
    assert (folder / "note.txt").read_text() == "up, down"
    index = {record["name"]: record for record in json.loads((folder / "stages.json").read_text())}
    assert index["alternate"]["label"] == "alternating"
    assert index["note"]["kind"] == "note"
    assert main(["train", str(recipe), "--schedule", "alternate"]) == 0
    assert (tmp_path / "study-alternate/result.json").exists()
    capsys.readouterr()
    assert study(recipe, *settings, "--output", folder, "--dry-run") == 0
    assert "alternate" in capsys.readouterr().out


def test_a_study_trains_any_schedule(recipe, tmp_path):
    settings = ["--set", "study.schedules=['mixture','adaptive']", "--set", "study.orders=[]"]
    assert study(recipe, *settings, "--set", "evaluation.every=0", "--output", tmp_path / "mixed") == 0
    folder = tmp_path / "mixed"
    results = {file.parent.name: json.loads(file.read_text()) for file in folder.glob("*/result.json")}
    assert set(results) == {"base", "single-up", "single-down", "mixture", "adaptive"}
    assert [results[name]["schedule"] for name in ("mixture", "adaptive")] == ["mixture", "adaptive"]
    assert results["adaptive"]["completions"] == 12 * 3
    index = json.loads((folder / "stages.json").read_text())
    assert [record["name"] for record in index] == [
        *("base", "single:up", "single:down", "plan"),
        *("mixture", "adaptive", "report"),
    ]
    assert (folder / "report.html").stat().st_size > 5000
