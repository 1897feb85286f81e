"""Training that begins while verdicts are out: it does begin, changes nothing, and is undone when a reward fails."""

from __future__ import annotations

import threading

import pytest
import torch

from omnithinker.config.sampling import SamplingSettings
from omnithinker.io.files import read_json_lines
from omnithinker.judge.base import BudgetSpent
from omnithinker.rewards.base import Component
from omnithinker.rewards.runner import Scorer
from omnithinker.rollout.base import Sampling, make_generator
from omnithinker.rollout.native import NativeGenerator
from omnithinker.train import trainer as loop
from tests.builders.policy import make_policy, prompt_of
from tests.builders.training import Letters, recipe_of, run, same, weights


class LateForTheLast(Letters):
    """Gives no verdict on the group that was drawn last before training has begun, and may fail then."""

    def __init__(self, monkeypatch, fails_in_step=None, waits=True):
        super().__init__()
        self.fails_in_step, self.waits = fails_in_step, waits
        self.step, self.last, self.begun = 0, None, threading.Event()
        generate, logprobs = NativeGenerator.generate, loop.completion_logprobs

        def generated(*arguments):
            self.step += 1
            self.begun.clear()
            *early, late = generate(*arguments)
            self.last = late[1].prompt
            yield from [*early, late]

        def noticed(*arguments):
            if torch.is_grad_enabled():
                self.begun.set()
            return logprobs(*arguments)

        monkeypatch.setattr(NativeGenerator, "generate", generated)
        monkeypatch.setattr(loop, "completion_logprobs", noticed)

    def score_group(self, prompt, completions):
        if prompt is self.last:
            assert not self.waits or self.begun.wait(60), "training waits for all verdicts"
            if self.step == self.fails_in_step:
                raise BudgetSpent("the judge has spent its budget")
        return super().score_group(prompt, completions)


def test_training_begins_before_the_last_verdict_and_ends_with_the_same_weights(model_folder, tmp_path, monkeypatch):
    recipe = recipe_of(model_folder, microbatch_tokens=24, betas={"a": 0.1, "b": 0.0})  # a block for each group
    expected = weights(run(recipe, tmp_path / "expected"))
    found = weights(run(recipe, tmp_path / "found", reward=LateForTheLast(monkeypatch)))
    assert same(expected, found)
    waits = [record["seconds/wait"] for record in read_json_lines(tmp_path / "found/metrics.jsonl")]
    assert len(waits) == 4
    assert all(seconds >= 0 for seconds in waits)


@pytest.mark.parametrize("minibatches", [1, 3])
def test_a_reward_that_fails_after_training_began_leaves_the_last_finished_step(
    minibatches, model_folder, tmp_path, monkeypatch
):
    recipe = recipe_of(model_folder, microbatch_tokens=24, minibatches=minibatches, checkpoint_every=100)
    expected = weights(run(recipe, tmp_path / "expected"))
    with monkeypatch.context() as patched:
        # Several minibatches wait for every verdict: their updates could not be taken back.
        reward = LateForTheLast(patched, fails_in_step=3, waits=minibatches == 1)
        with pytest.raises(BudgetSpent, match="stopped after step 2: the judge has spent its budget"):
            run(recipe, tmp_path / "run", reward=reward)
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-2"]
    assert same(expected, weights(run(recipe, tmp_path / "run")))


def test_smaller_batches_are_generated_and_scored_one_after_the_other(model_folder):
    policy = make_policy()
    prompts = [prompt_of(policy, "x" * (5 - i), "a", i) for i in range(5)]
    seeds = [[10 * p + g for g in range(4)] for p in range(5)]
    orders = {}
    for batch_size in (4, 8, 100):
        recipe = recipe_of(model_folder).model_copy(
            update={"sampling": SamplingSettings(completions=4, max_new_tokens=200, batch_size=batch_size)}
        )
        with Scorer({"a": [Component("letters", Letters(), 1.0, True)]}) as scorer:
            sampling = [Sampling.of(recipe.sampling)] * 5
            pending = scorer.score(make_generator(policy, recipe).generate(prompts, seeds, sampling))
            orders[batch_size] = pending.in_generation_order(range(5))
            assert [group.prompt for group in pending.groups()] == prompts
    assert orders[4] == [0, 1, 2, 3, 4]
    assert [p // 2 for p in orders[8]] == [0, 0, 1, 1, 2]
    assert orders[100] != orders[4]
