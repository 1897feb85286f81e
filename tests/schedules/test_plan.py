"""Registered schedules: built from a recipe by name, with settings of their own group."""

from __future__ import annotations

import pytest

from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import SCHEDULES
from omnithinker.errors import BadInput, RecipeError
from omnithinker.schedules.base import FixedSchedule
from omnithinker.schedules.curriculum import curriculum_batches, limit_steps
from omnithinker.schedules.joint import joint_batches
from omnithinker.schedules.mixture import mixture_batches
from omnithinker.schedules.plan import RunPlan, build_schedule, plan_run, schedule_class

SIZES = {"a": 6, "b": 4}
SETTINGS = {"prompts_per_step": 2, "epochs": 3, "seed": 5}


def recipe_of(**schedules) -> Recipe:
    return Recipe.model_validate(
        {
            "training": {"prompts_per_step": 2, "epochs": 3, "max_steps": 9},
            "schedules": schedules,
            "tasks": {
                name: {"data": "lab:math", "share": share, "rewards": {"math_answer": 1.0}}
                for name, share in (("a", 1.0), ("b", 2.0))
            },
        }
    )


@pytest.mark.parametrize(
    ("name", "order", "batches"),
    [
        ("joint", ("a", "b"), joint_batches(SIZES, **SETTINGS)),
        ("mixture", ("a", "b"), mixture_batches(SIZES, {"a": 1.0, "b": 2.0}, **SETTINGS)),
        ("curriculum", ("b",), curriculum_batches(SIZES, ["b"], **SETTINGS)),
    ],
)
def test_a_fixed_schedule_has_the_recipe_s_settings(name, order, batches):
    schedule = build_schedule(RunPlan(name, order, seed=5), recipe_of(), SIZES)
    assert isinstance(schedule, FixedSchedule)
    assert [schedule.batch(step, {}) for step in range(len(schedule))] == batches[:9]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_limit_of_steps_shortens_every_task_of_a_curriculum(order):
    # 9 + 6 steps become 9: 5.4 and 3.6.
    schedule = build_schedule(RunPlan("curriculum", order, seed=5), recipe_of(), SIZES)
    whole = {task: curriculum_batches(SIZES, [task], **SETTINGS) for task in SIZES}
    expected = {"a": whole["a"][:5], "b": whole["b"][:4]}
    assert list(schedule.batches) == [batch for task in order for batch in expected[task]]


@pytest.mark.parametrize(
    ("steps", "limit", "kept"),
    [
        ({"a": 9, "b": 6}, None, [9, 6]),
        ({"a": 9, "b": 6}, 15, [9, 6]),
        ({"a": 9, "b": 6}, 14, [8, 6]),
        ({"a": 5, "b": 5}, 3, [2, 1]),
        ({"b": 5, "a": 5}, 3, [1, 2]),
        ({"a": 1000, "b": 1, "c": 1}, 3, [1, 1, 1]),
        ({"a": 1000, "b": 1, "c": 1}, 10, [8, 1, 1]),
        ({"a": 7}, 3, [3]),
    ],
)
def test_steps_under_a_limit(steps, limit, kept):
    assert list(limit_steps(steps, limit).values()) == kept


def test_a_limit_below_the_number_of_tasks_is_refused():
    with pytest.raises(BadInput, match=r"training.max_steps = 2: a curriculum of 3 tasks needs at least 3 steps"):
        limit_steps({"a": 5, "b": 5, "c": 5}, 2)


def test_the_only_task_needs_no_name():
    recipe = recipe_of()
    alone = recipe.model_copy(update={"tasks": {"a": recipe.tasks["a"]}})
    assert plan_run(alone) == RunPlan.single_task("a", 0)
    with pytest.raises(BadInput, match=r"select what to train: one task \(--task\), .*; tasks: a, b"):
        plan_run(recipe)


def test_a_schedule_gets_its_group_of_settings():
    schedule = build_schedule(RunPlan("adaptive", ("a", "b"), 5), recipe_of(adaptive={"min_share": 0.5}), SIZES)
    assert schedule.settings.min_share == 0.5
    assert schedule.inputs.shares == {"a": 1.0, "b": 2.0}
    assert len(schedule) == 9


def test_every_registered_schedule_declares_itself():
    for name in SCHEDULES:
        registered = schedule_class(name)
        assert registered.label
        assert registered.ordered == (name == "curriculum")
        assert (registered.settings_class is not None) == (name in type(recipe_of().schedules).model_fields)


def test_names_of_runs_and_folders():
    plans = [RunPlan.single_task("a", 0), RunPlan("curriculum", ("b", "a"), 0), RunPlan("joint", ("a", "b"), 0)]
    assert [plan.name for plan in plans] == ["single-task a", "curriculum b > a", "joint"]
    assert [plan.folder_name for plan in plans] == ["single-a", "curriculum-b-a", "joint"]


def test_an_unknown_schedule_is_named():
    with pytest.raises(RecipeError, match="no schedule 'mixed'; did you mean 'mixture'"):
        build_schedule(RunPlan("mixed", ("a",), 0), recipe_of(), SIZES)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("[schedules.adaptiv]\nmin_share = 0.5", ":1: unknown key 'schedules.adaptiv'; did you mean 'adaptive'?"),
        (
            "[schedules.adaptive]\nmin_shar = 0.5",
            ":2: unknown key 'schedules.adaptive.min_shar'; did you mean 'min_share'?",
        ),
        ("[schedules.adaptive]\nmin_share = 0", ":2: schedules.adaptive.min_share: input should be greater than 0"),
        ("[schedules.joint]\nshare = 1", ":1: unknown key 'schedules.joint'; known: adaptive"),
    ],
)
def test_a_bad_setting_of_a_schedule_is_named_with_its_place(tmp_path, setting, message):
    file = tmp_path / "my.toml"
    file.write_text(f"{setting}\n[tasks.a]\ndata = 'lab:math'\nrewards.math_answer = 1.0\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    assert str(caught.value) == f"{file}{message}"
