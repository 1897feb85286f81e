"""The loop: one update against a naive reference, learning, exact resume, undefined completions."""

from __future__ import annotations

import json

import pytest
import torch

from omnithinker.errors import Interrupted, RewardError
from omnithinker.io.files import read_json_lines
from omnithinker.io.runlog import RunLog
from omnithinker.policy.loading import load_policy
from omnithinker.schedules.adaptive import Adaptive, AdaptiveSettings
from omnithinker.schedules.base import Item, ScheduleInputs
from omnithinker.schedules.curriculum import curriculum_batches
from omnithinker.schedules.joint import joint_batches
from omnithinker.train import checkpoint
from omnithinker.train.checkpoint import list_checkpoints
from omnithinker.train.setup import set_learning_rate
from omnithinker.train.trainer import sample_seeds
from tests.builders.training import Letters, Quiet, recipe_of, run, same, weights

SETTINGS = {
    "plain": {},
    "minibatches": {"minibatches": 3},
    "reference": {"betas": {"a": 0.1, "b": 0.0}},
    "warm-up": {"warmup_steps": 3, "weight_decay": 0.1},
    "frozen embeddings": {"held": {"freeze_embeddings": True}},
    "bfloat16": {"held": {"compute": "bfloat16"}},
    "importance_sampling_correction": {"minibatches": 2, "importance_sampling_correction": "token"},
    "own settings": {"own": {"a": {"completions": 2, "temperature": 0.5, "max_new_tokens": 3, "weight": 2.0}}},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_interrupted_equals_uninterrupted_bit_for_bit(name, stop_after, model_folder, tmp_path):
    # The schedule has 4 steps and changes task after step 2.
    recipe = recipe_of(model_folder, **SETTINGS[name])
    whole = weights(run(recipe, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "parts", observer=Quiet(stop_after))
    resumed = weights(run(recipe, tmp_path / "parts"))
    assert same(whole, resumed)
    logs = [[json.loads(x) for x in (tmp_path / d / "metrics.jsonl").open()] for d in ("whole", "parts")]
    for one, two in zip(*logs, strict=True):
        assert {k: v for k, v in one.items() if "second" not in k} == {
            k: v for k, v in two.items() if "second" not in k
        }


@pytest.mark.parametrize("stop_after", range(1, 6))
def test_an_adaptive_run_resumes_bit_for_bit(stop_after, model_folder, tmp_path):
    recipe = recipe_of(model_folder)
    inputs = ScheduleInputs(sizes={"a": 6, "b": 6}, shares={"a": 1.0, "b": 2.0}, prompts_per_step=4, epochs=2, seed=0)
    schedule = Adaptive(inputs, AdaptiveSettings(ema_steps=2, criterion="progress"))
    whole = weights(run(recipe, tmp_path / "whole", schedule=schedule))
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "parts", schedule=schedule, observer=Quiet(stop_after))
    assert same(whole, weights(run(recipe, tmp_path / "parts", schedule=schedule)))
    states = [checkpoint.read_state(list_checkpoints(tmp_path / d / "checkpoints")[-1]) for d in ("whole", "parts")]
    assert states[0] == states[1]
    assert states[0].schedule["accuracy"].keys() == {"a", "b"}


def test_a_prompt_that_comes_twice_in_a_batch_is_answered_anew(model_folder):
    recipe = recipe_of(model_folder, own={"b": {"completions": 2}})
    batch = (Item("a", 0, 0), Item("b", 0, 0), Item("a", 0, 1), Item("b", 0, 1))
    seeds = sample_seeds(batch, recipe, seed=1, step=5)
    assert [len(row) for row in seeds] == [4, 2, 4, 2]
    assert len({seed for row in seeds for seed in row}) == 12
    assert seeds[:2] == sample_seeds(batch[:2], recipe, seed=1, step=5)


def test_resume_repeats_steps_after_the_last_checkpoint(model_folder, tmp_path):
    recipe = recipe_of(model_folder, checkpoint_every=2)
    whole = weights(run(recipe, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "parts", observer=Quiet(stop_after=3))
    assert [p.name for p in list_checkpoints(tmp_path / "parts/checkpoints")] == ["step-2"]
    assert same(whole, weights(run(recipe, tmp_path / "parts")))
    steps = [json.loads(x)["step"] for x in (tmp_path / "parts/metrics.jsonl").open()]
    assert steps == [1, 2, 3, 4]


def test_a_half_written_checkpoint_is_not_used(model_folder, tmp_path):
    recipe = recipe_of(model_folder)
    whole = weights(run(recipe, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "parts", observer=Quiet(stop_after=2))
    partial = tmp_path / "parts/checkpoints/.step-3.1.tmp"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    assert same(whole, weights(run(recipe, tmp_path / "parts")))


def test_other_folders_among_the_checkpoints_are_the_users(tmp_path):
    for name in ("step-2", "step-10", "step-2-copy", "step-", "step-x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer.json").touch()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-2", "step-10"]


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "trainer.json"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(file, model_folder, tmp_path):
    recipe = recipe_of(model_folder)
    whole = weights(run(recipe, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "parts", observer=Quiet(stop_after=3))
    damaged = tmp_path / "parts/checkpoints/step-3" / file
    damaged.write_bytes(damaged.read_bytes()[:-20])
    observer = Quiet()
    assert same(whole, weights(run(recipe, tmp_path / "parts", observer=observer)))
    assert len(observer.notes) == 1
    assert "set aside as damaged-step-3" in observer.notes[0]
    assert (tmp_path / "parts/checkpoints/damaged-step-3" / file).exists()


def test_a_checkpoint_that_cannot_be_loaded_now_is_kept(model_folder, tmp_path, monkeypatch):
    recipe = recipe_of(model_folder)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "run", observer=Quiet(stop_after=2))

    def no_memory(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("omnithinker.train.setup.load_trained", no_memory)
    with pytest.raises(RuntimeError, match="out of memory"):
        run(recipe, tmp_path / "run")
    assert [p.name for p in list_checkpoints(tmp_path / "run/checkpoints")] == ["step-1", "step-2"]


def test_checkpoints_are_pruned_and_load_with_transformers(model_folder, tmp_path):
    recipe = recipe_of(model_folder, keep=2)
    trained = run(recipe, tmp_path / "run")
    assert [p.name for p in list_checkpoints(tmp_path / "run/checkpoints")] == ["step-3", "step-4"]
    loaded = load_policy(recipe.model, tmp_path / "run/checkpoints/step-4")
    assert same(weights(trained), weights(loaded))
    assert loaded.tokenizer.encode("hello") == trained.tokenizer.encode("hello")


def test_a_run_killed_before_it_removed_old_checkpoints_does_so_at_the_next_start(model_folder, tmp_path):
    run(recipe_of(model_folder, keep=3), tmp_path / "run")
    assert len(list_checkpoints(tmp_path / "run/checkpoints")) == 3
    run(recipe_of(model_folder, keep=2), tmp_path / "run")
    assert [p.name for p in list_checkpoints(tmp_path / "run/checkpoints")] == ["step-3", "step-4"]


def test_number_and_length_of_completions_are_per_task(model_folder, tmp_path):
    own = {"a": {"completions": 2, "max_new_tokens": 3}}
    batches = joint_batches({"a": 6, "b": 6}, prompts_per_step=12, epochs=1, seed=0)
    run(recipe_of(model_folder, own=own), tmp_path / "run", schedule=batches)
    (metrics,) = read_json_lines(tmp_path / "run/metrics.jsonl")
    assert (metrics["task/a/completions"], metrics["task/b/completions"]) == (12, 24)
    said = {r["task"]: len(r["completions"]) for r in read_json_lines(tmp_path / "run/rollouts.jsonl")}
    assert said == {"a": 2, "b": 4}
    assert metrics["task/a/length"] <= 3 < metrics["task/b/length"] <= 6


def test_training_raises_the_reward(model_folder, tmp_path):
    recipe = recipe_of(model_folder, learning_rate=1e-2)
    batches = joint_batches({"a": 6, "b": 6}, prompts_per_step=6, epochs=12, seed=0)
    run(recipe, tmp_path / "run", schedule=batches)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    mean = [sum(r[f"task/{t}/reward"] for t in "ab" if f"task/{t}/reward" in r) / 2 for r in rows]
    assert sum(mean[-4:]) / 4 > sum(mean[:4]) / 4 + 0.2


def test_evaluation_during_training_happens_every_n_steps(model_folder, tmp_path):
    observer = Quiet()
    run(recipe_of(model_folder, evaluation={"every": 2}), tmp_path / "run", observer=observer)
    assert observer.evaluated == [2]  # 4 steps; the last one is measured by the caller


def test_a_reward_that_raises_stops_with_its_name(model_folder, tmp_path):
    class Broken:
        def score_group(self, prompt, completions):
            raise ZeroDivisionError("oops")

    with pytest.raises(RewardError, match=r"reward 'letters' of task 'b' failed on row .*ZeroDivisionError: oops"):
        run(recipe_of(model_folder), tmp_path / "run", reward=Broken())


def test_undefined_completions_are_counted_and_kept_out(model_folder, tmp_path):
    run(recipe_of(model_folder, max_undefined=1.0), tmp_path / "run", reward=Letters(undefined=True))
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    assert sum(r["task/b/undefined"] for r in rows if "task/b/undefined" in r) > 0
    assert all(
        r["task/b/undefined"] == r.get("task/b/undefined/letters/odd_seed", 0) for r in rows if "task/b/undefined" in r
    )


def test_too_many_undefined_completions_stop_the_run_also_after_a_restart(model_folder, tmp_path):
    recipe = recipe_of(model_folder, max_undefined=0.02)  # 12 of 50 x 12 completions
    with pytest.raises(RewardError, match=r"'letters' of task '.' was undefined .*odd_seed.*max_undefined = 0.02"):
        run(recipe, tmp_path / "run", reward=Letters(undefined=True), schedule=LONG)
    stopped = len((tmp_path / "run/metrics.jsonl").read_text().splitlines())
    assert 1 < stopped < 12
    with pytest.raises(RewardError):
        run(recipe, tmp_path / "run", reward=Letters(undefined=True), schedule=LONG)
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == stopped


LONG = curriculum_batches({"a": 6, "b": 6}, ["a"], prompts_per_step=3, epochs=6, seed=0)


def test_rollouts_survive_a_restart(model_folder, tmp_path):
    # U+2028 ends a line for str.splitlines, and JSON leaves it as it is.
    record = {"step": 1, "task": "a", "prompt": "\u2028 \x85", "completions": []}
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "rollouts.jsonl").write_text(json.dumps(record, ensure_ascii=False) + '\n{"step": 2, "ta')
    RunLog(folder, 1)
    assert read_json_lines(folder / "rollouts.jsonl") == [record]


def test_warm_up_then_constant(model_folder):
    recipe = recipe_of(model_folder, learning_rate=0.4, warmup_steps=4)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=9.0)
    rates = []
    for updates in range(6):
        set_learning_rate(optimizer, recipe, updates)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


def test_a_stop_request_checkpoints_the_finished_step(model_folder, tmp_path, monkeypatch):
    import os
    import signal

    class Stopper(Quiet):
        def on_evaluate(self, trainer):
            os.kill(os.getpid(), signal.SIGINT)

    recipe = recipe_of(model_folder, checkpoint_every=100, evaluation={"every": 2})
    with pytest.raises(Interrupted, match="after step 2"):
        run(recipe, tmp_path / "run", observer=Stopper())
    newest = list_checkpoints(tmp_path / "run/checkpoints")[-1]
    assert checkpoint.read_state(newest).step == 2
