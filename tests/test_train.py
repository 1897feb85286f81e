"""The loop: one update against a naive reference, learning, exact resume, undefined completions."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from omnithinker import checkpoint
from omnithinker.checkpoint import list_checkpoints
from omnithinker.errors import CheckpointError, Interrupted, RewardError
from omnithinker.files import read_json_lines
from omnithinker.policy import load_policy
from omnithinker.recipe import Recipe
from omnithinker.rewards.base import Component
from omnithinker.runlog import RunLog
from omnithinker.schedule import curriculum_schedule, joint_schedule
from omnithinker.scoring import Scorer
from omnithinker.train import Row, microbatches, set_learning_rate, train, update, weighted_rows
from omnithinker.types import Completion, Prompt, RolloutGroup, Score, Undefined
from tests.conftest import make_policy, prompt_of


class Letters:
    """Share of a completion's tokens that are even; every third seed undefined when asked for."""

    def __init__(self, undefined: bool = False) -> None:
        self.undefined = undefined

    def score_group(self, prompt, completions):
        return [
            Undefined("odd_seed")
            if self.undefined and c.seed % 3 == 0
            else sum(t % 2 == 0 for t in c.token_ids) / len(c.token_ids)
            for c in completions
        ]


class Quiet:
    """An observer that can ask to stop."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.evaluated, self.notes = stop_after, [], []

    def on_step(self, metrics, total):
        if metrics.step == self.stop_after:
            raise KeyboardInterrupt

    def on_evaluate(self, policy, step):
        self.evaluated.append(step)

    def note(self, text):
        self.notes.append(text)


def recipe_of(model: Path, **training) -> Recipe:
    betas = training.pop("betas", {"a": 0.0, "b": 0.0})
    evaluation = training.pop("evaluation", {})
    settings = {"learning_rate": 3e-3, "prompts_per_step": 3} | training
    return Recipe.model_validate(
        {
            "model": {"path": str(model), "device": "cpu"},
            "sampling": {"completions": 4, "max_new_tokens": 6, "max_prompt_tokens": 99},
            "training": settings,
            "evaluation": evaluation,
            "tasks": {
                name: {"data": "lab:math", "beta": beta, "rewards": {"math_answer": 1.0}}
                for name, beta in betas.items()
            },
        }
    )


def prompts_of(recipe: Recipe) -> dict[str, list[Prompt]]:
    policy = make_policy()
    return {task: [prompt_of(policy, f"{task} {i}", task, i) for i in range(6)] for task in recipe.tasks}


def run(recipe: Recipe, folder: Path, *, schedule=None, observer=None, reward=None):
    prompts = prompts_of(recipe)
    sizes = {task: len(items) for task, items in prompts.items()}
    batches = schedule or curriculum_schedule(sizes, ["b", "a"], prompts_per_step=3, epochs=1, seed=0)
    components = [Component("letters", reward or Letters(), 1.0, True)]
    folder.mkdir(exist_ok=True)
    with Scorer(dict.fromkeys(recipe.tasks, components)) as scorer:
        return train(recipe, prompts, batches, scorer, folder, observer or Quiet(), seed=1)


def weights(policy) -> list[torch.Tensor]:
    return [p.detach().clone() for p in policy.model.parameters()]


def same(one, two) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


SETTINGS = {
    "plain": {},
    "minibatches": {"minibatches": 3},
    "reference": {"betas": {"a": 0.1, "b": 0.0}},
    "warm-up": {"warmup_steps": 3, "weight_decay": 0.1},
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
        assert {k: v for k, v in one.items() if "seconds" not in k} == {
            k: v for k, v in two.items() if "seconds" not in k
        }


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

    def no_memory(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("omnithinker.train.load_policy", no_memory)
    with pytest.raises(RuntimeError, match="out of memory"):
        run(recipe, tmp_path / "run")
    assert [p.name for p in list_checkpoints(tmp_path / "run/checkpoints")] == ["step-1", "step-2"]


def test_checkpoints_are_pruned_and_load_with_transformers(model_folder, tmp_path):
    recipe = recipe_of(model_folder, keep=2)
    trained = run(recipe, tmp_path / "run")
    assert [p.name for p in list_checkpoints(tmp_path / "run/checkpoints")] == ["step-3", "step-4"]
    loaded = load_policy(recipe.model, 1.0, tmp_path / "run/checkpoints/step-4")
    assert same(weights(trained), weights(loaded))
    assert loaded.encode("hello") == trained.encode("hello")


def test_other_settings_are_refused(model_folder, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(recipe_of(model_folder), tmp_path / "run", observer=Quiet(stop_after=1))
    with pytest.raises(CheckpointError, match="other settings"):
        run(recipe_of(model_folder, learning_rate=1e-5), tmp_path / "run")


def test_training_raises_the_reward(model_folder, tmp_path):
    recipe = recipe_of(model_folder, learning_rate=1e-2)
    batches = joint_schedule({"a": 6, "b": 6}, prompts_per_step=6, epochs=12, seed=0)
    run(recipe, tmp_path / "run", schedule=batches)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    mean = [sum(r[f"task/{t}/reward"] for t in "ab" if f"task/{t}/reward" in r) / 2 for r in rows]
    assert sum(mean[-4:]) / 4 > sum(mean[:4]) / 4 + 0.2


def test_evaluation_during_training_happens_at_the_asked_steps(model_folder, tmp_path):
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


LONG = curriculum_schedule({"a": 6, "b": 6}, ["a"], prompts_per_step=3, epochs=6, seed=0)


def test_what_a_model_said_survives_a_restart(model_folder, tmp_path):
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


def test_gradients_are_scaled_down_to_the_norm(model_folder):
    policy = make_policy()
    group = group_of(policy, [((5, 6), 1.0), ((7,), 0.0)])
    rows = weighted_rows([group], torch.tensor([[1.0, -1.0]]), recipe_of(model_folder))
    optimizer = torch.optim.SGD(policy.model.parameters(), lr=0.0)
    result = update(policy, None, optimizer, rows, recipe_of(model_folder, max_grad_norm=0.01))
    norm = torch.sqrt(sum(p.grad.square().sum() for p in policy.model.parameters()))
    assert result["grad_norm"] > 0.01
    assert float(norm) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("paper", [1 / 4, 1 / 4, 1 / 2]), ("dapo", [2 / 6, 1 / 6, 3 / 6]), ("dr_grpo", [2 / 18, 1 / 18, 3 / 18])],
)
def test_presets_reach_the_weights_of_the_loss(preset, expected, model_folder):
    policy = make_policy()
    groups = [
        group_of(policy, [((5, 6), 1.0), ((7,), 0.0)], "a", 0),
        group_of(policy, [((5, 6, 7), 1.0), ((7,), None)], "a", 1),
    ]
    advantages_PG = torch.tensor([[1.0, -1.0], [0.5, math.nan]])
    rows = weighted_rows(groups, advantages_PG, recipe_of(model_folder, preset=preset))
    assert [row.weight for row in rows] == pytest.approx(expected)  # the token limit is 6


def group_of(policy, texts_and_rewards, task="a", index=0) -> RolloutGroup:
    prompt = prompt_of(policy, f"{task}{index}", task, index)
    completions, scores = [], []
    for ids, reward in texts_and_rewards:
        completions.append(Completion(text="", token_ids=ids, logprobs=tuple(-1.0 - 0.1 * t for t in range(len(ids)))))
        scores.append(Score(reward=reward, components={}, correct=reward))
    return RolloutGroup(prompt=prompt, completions=tuple(completions), scores=tuple(scores))


def naive_loss(policy, reference, groups, advantages_PG, recipe):
    """Eq. 4 with one forward pass per completion and loops over tokens."""

    def logprobs(model, prompt, ids):
        tokens = torch.tensor([[*prompt.token_ids, *ids]])
        table = torch.log_softmax(model(input_ids=tokens).logits[0] / policy.temperature, dim=-1)
        start = len(prompt.token_ids) - 1
        return [table[start + t, token] for t, token in enumerate(ids)]

    training, prompt_losses = recipe.training, []
    for group, advantages in zip(groups, advantages_PG, strict=True):
        beta = recipe.tasks[group.prompt.task].beta
        completions = [(c, a) for c, a in zip(group.completions, advantages, strict=True) if not math.isnan(a)]
        if not completions:
            continue
        terms = []
        for c, a in completions:
            new = logprobs(policy.model, group.prompt, c.token_ids)
            old = c.logprobs if training.minibatches > 1 else [x.detach() for x in new]
            ref = logprobs(reference.model, group.prompt, c.token_ids) if reference else [x.detach() for x in new]
            total = 0.0
            for n, o, r in zip(new, old, ref, strict=True):
                rho = torch.exp(n - o)
                clipped = torch.clamp(rho, 1 - training.clip_low, 1 + training.clip_high)
                total = total - torch.minimum(rho * a, clipped * a)
                total = total + beta * (torch.exp(r - n) - (r - n) - 1)
            terms.append(total / len(c.token_ids))
        prompt_losses.append(sum(terms) / len(terms))
    return sum(prompt_losses) / len(prompt_losses)


@pytest.mark.parametrize("minibatches", [1, 2])
@pytest.mark.parametrize("budget", [10_000, 40])
@pytest.mark.parametrize("betas", [{"a": 0.0, "b": 0.0}, {"a": 0.3, "b": 0.05}, {"a": 0.2, "b": 0.0}])
def test_update_equals_the_naive_reference(minibatches, budget, betas, model_folder):
    from omnithinker.advantages import group_advantages
    from omnithinker.train import rewards

    recipe = recipe_of(model_folder, betas=betas, minibatches=minibatches, microbatch_tokens=budget, max_grad_norm=1e9)
    policy = make_policy(dtype=torch.float64)
    reference = None
    if any(betas.values()):
        reference = policy.frozen_copy()
        with torch.no_grad():
            for k, parameter in enumerate(reference.model.parameters()):
                parameter.mul_(1 + 0.01 * ((k % 5) - 2))
    groups = [
        group_of(policy, [((5, 6, 7), 1.0), ((8, 9), 0.0), ((3,), 0.5), ((4, 4, 4, 4), None)], "a", 0),
        group_of(policy, [((15, 6, 7), 0.5), ((18, 9), 0.5), ((13,), 0.5), ((14, 4), 0.5)], "a", 1),
        group_of(policy, [((25, 6), None), ((28, 9), None), ((23,), 1.0), ((24, 4), None)], "b", 2),
        group_of(policy, [((35, 6, 7, 9, 9, 1), 0.1), ((38, 9), 0.0), ((33,), 0.7), ((34, 4), 0.2)], "b", 3),
    ]
    advantages_PG = group_advantages(rewards(groups))
    expected = naive_loss(policy, reference, groups, advantages_PG.tolist(), recipe)
    expected.backward()
    gradients = [p.grad.clone() for p in policy.model.parameters()]
    norm = torch.sqrt(sum(g.square().sum() for g in gradients))

    optimizer = torch.optim.SGD(policy.model.parameters(), lr=0.0)
    result = update(policy, reference, optimizer, weighted_rows(groups, advantages_PG, recipe), recipe)
    # The reported loss leaves out rows without gradient, whose surrogate is 0; they change nothing.
    assert result["loss"] == pytest.approx(float(expected.detach()), abs=1e-9)
    assert result["grad_norm"] == pytest.approx(float(norm), abs=1e-9)
    for p, g in zip(policy.model.parameters(), gradients, strict=True):
        assert torch.allclose(p.grad, g, atol=1e-9)


def test_truncated_completions_can_be_masked(model_folder):
    policy = make_policy()
    group = group_of(policy, [((5,), 1.0), ((6,), 0.0)])
    group = RolloutGroup(
        prompt=group.prompt,
        completions=(group.completions[0], Completion(text="", token_ids=(6,), truncated=True)),
        scores=group.scores,
    )
    advantages = torch.tensor([[0.7, -0.7]])
    assert len(weighted_rows([group], advantages, recipe_of(model_folder))) == 2
    assert len(weighted_rows([group], advantages, recipe_of(model_folder, truncated="mask"))) == 1


def test_microbatches_respect_the_budget_and_lose_nothing():
    prompts = [Prompt(task="a", index=i, text="", token_ids=(1,) * 7) for i in range(3)]
    rows = [Row(prompts[i % 3], Completion(text="", token_ids=(1,) * (1 + 3 * i)), 1.0, 1.0, 0.0) for i in range(9)]
    chunks = list(microbatches(rows, 60))
    assert sorted(id(r) for chunk in chunks for r in chunk) == sorted(map(id, rows))
    for chunk in chunks:
        longest = max(len(r.completion.token_ids) for r in chunk)
        assert len(chunk) == 1 or len(chunk) * longest + 7 * len({r.prompt.index for r in chunk}) <= 60


def test_a_stop_request_checkpoints_the_finished_step(model_folder, tmp_path, monkeypatch):
    import os
    import signal

    class Stopper(Quiet):
        def on_evaluate(self, policy, step):
            os.kill(os.getpid(), signal.SIGINT)

    recipe = recipe_of(model_folder, checkpoint_every=100, evaluation={"every": 2})
    with pytest.raises(Interrupted, match="after step 2"):
        run(recipe, tmp_path / "run", observer=Stopper())
    newest = list_checkpoints(tmp_path / "run/checkpoints")[-1]
    assert checkpoint.read_state(newest).step == 2
