"""A run through its context: what it writes, what it loads and how often, what it refuses."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from rich.console import Console

from omnithinker.config.file import load_recipe
from omnithinker.errors import BadInput, Interrupted
from omnithinker.io.lock import lock
from omnithinker.policy import loading
from omnithinker.schedules.plan import RunPlan
from omnithinker.train import context as contexts
from omnithinker.train.context import RunContext
from omnithinker.train.folder import read_results
from omnithinker.train.run import count_completions, run_training
from omnithinker.ui.view import View

QUIET = View(Console(quiet=True))


@pytest.fixture
def loads(monkeypatch) -> Counter:
    """Count how often the frozen base is loaded through a context."""
    counts: Counter = Counter()

    def load(settings):
        counts["base"] += 1
        return loading.load_policy(settings)

    monkeypatch.setattr(contexts, "load_policy", load)
    return counts


def test_the_result_file_begins_with_the_manifest(recipe, tmp_path):
    settings = load_recipe(recipe)
    with RunContext(settings, QUIET.note) as context:
        results = run_training(context, RunPlan("joint", ("up", "down"), seed=3), tmp_path / "run", QUIET)
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert list(result)[:7] == ["name", "seconds", "versions", "sandbox", "judges", "recipe", "tasks"]
    assert (result["name"], result["recipe"]) == ("joint", settings.digest())
    assert (result["schedule"], result["order"], result["seed"]) == ("joint", ["up", "down"], 3)
    assert (result["steps"], result["measured_step"], result["stopped_early"]) == (4, 4, False)
    assert result["completions"] == count_completions(tmp_path / "run") == 12 * 3
    stored = read_results(tmp_path / "run/result.json")
    assert {task: r.accuracy for task, r in stored.items()} == {task: r.accuracy for task, r in results.items()}


def test_a_finished_run_is_only_read(recipe, tmp_path, monkeypatch):
    plan, folder = RunPlan.single_task("up", 0), tmp_path / "run"
    with RunContext(load_recipe(recipe), QUIET.note) as context:
        first = run_training(context, plan, folder, QUIET)
        times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        monkeypatch.setattr("omnithinker.train.run.Trainer", None)
        again = run_training(context, plan, folder, QUIET)
    assert {task: r.accuracy for task, r in again.items()} == {task: r.accuracy for task, r in first.items()}
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times


@pytest.mark.parametrize("finished", [False, True])
def test_results_of_other_settings_are_refused(recipe, tmp_path, finished):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.toml").write_text(load_recipe(recipe, ["training.epochs=2"]).to_toml())
    if finished:
        (folder / "result.json").write_text("{}")
    with RunContext(load_recipe(recipe), QUIET.note) as context, pytest.raises(BadInput) as caught:
        run_training(context, RunPlan.single_task("up", 0), folder, QUIET)
    assert str(caught.value) == (
        f"{folder} holds results of other settings (training.epochs was 2, is now 1); "
        "remove the folder, or choose another with --output"
    )


def test_a_folder_in_which_another_process_trains_is_refused_untouched(recipe, tmp_path):
    plan, folder = RunPlan.single_task("up", 0), tmp_path / "run"
    with RunContext(load_recipe(recipe), QUIET.note) as context:
        with lock(folder):
            unfinished = folder / ".step-1.7.tmp"
            unfinished.mkdir()
            with pytest.raises(Interrupted, match=f"{folder}: in use by process .*; repeat this command when"):
                run_training(context, plan, folder, QUIET)
            assert unfinished.exists()
        run_training(context, plan, folder, QUIET)
    assert not unfinished.exists()
    assert not (folder / "running.json").exists()


def test_settings_that_change_no_numbers_may_differ(recipe, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.toml").write_text(load_recipe(recipe, ["training.keep=9"]).to_toml())
    with RunContext(load_recipe(recipe), QUIET.note) as context:
        run_training(context, RunPlan.single_task("up", 0), folder, QUIET)
    assert load_recipe(folder / "recipe.toml").training.keep == 2


def test_prompts_need_no_model_and_the_base_is_loaded_once(recipe, tmp_path, loads):
    with RunContext(load_recipe(recipe), QUIET.note) as context:
        assert context.train_sizes == {"up": 6, "down": 6}
        assert [len(prompts) for prompts in context.test_prompts.values()] == [6, 6]
        assert not loads
        context.evaluate_base()
        assert context.reference_base is context.base  # task "down" has a KL term
    assert loads == {"base": 1}


@pytest.mark.parametrize(
    "settings", [["tasks.down.beta=0"], ["model.lora={rank=2}"]], ids=["no KL term", "an adapter contains its base"]
)
def test_the_reference_is_loaded_only_where_training_needs_it(recipe, loads, settings):
    with RunContext(load_recipe(recipe, settings), QUIET.note) as context:
        assert context.reference_base is None
    assert not loads


def test_a_context_that_cannot_be_built_leaves_nothing_open(recipe, tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(contexts.Resources, "close", lambda self: closed.append(self))
    (tmp_path / "up.jsonl").unlink()
    with pytest.raises(BadInput, match=r"up\.jsonl: cannot be read"):
        RunContext(load_recipe(recipe), QUIET.note)
    assert len(closed) == 1
