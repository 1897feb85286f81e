"""Evaluation: accuracy, standard error, entropy (Eq. 11), undefined items."""

from __future__ import annotations

import math

import pytest
import torch

from omnithinker.config.recipe import Recipe
from omnithinker.errors import OmniThinkerError
from omnithinker.evals.evaluate import evaluate, mean_and_error
from omnithinker.rewards.base import Component
from omnithinker.rewards.runner import Scorer
from omnithinker.rollout.base import make_generator
from omnithinker.types import Undefined
from tests.builders.policy import prompt_of


class FirstTokenEven:
    """1 if the first token is even; undefined for the rows in ``skip``."""

    def __init__(self, skip=()):
        self.skip = skip

    def score_group(self, prompt, completions):
        return [
            Undefined("skipped") if prompt.index in self.skip else float(c.token_ids[0] % 2 == 0) for c in completions
        ]


def recipe_of(**sampling) -> Recipe:
    return Recipe.model_validate(
        {
            "sampling": {"max_new_tokens": 4, "completions": 2, "batch_size": 3} | sampling,
            "tasks": {"math": {"data": "lab:math", "rewards": {"math_answer": 1.0}}},
        }
    )


def measure(policy, recipe, reward, count=8):
    prompts = {"math": [prompt_of(policy, f"item {i}", "math", i) for i in range(count)]}
    with Scorer({"math": [Component("first", reward, 1.0, True)]}) as scorer:
        return evaluate(policy, make_generator(policy, recipe), prompts, scorer, recipe, seed=0)["math"], prompts[
            "math"
        ]


def test_mean_and_standard_error_by_hand():
    mean, error, n = mean_and_error([1.0, 0.0, None, 0.5, 0.5])
    assert (mean, n) == (0.5, 4)
    assert error == pytest.approx(math.sqrt((0.25 + 0.25) / 3 / 4))
    assert mean_and_error([None]) == (0.0, 0.0, 0)


def test_greedy_accuracy_entropy_and_length_against_a_loop(policy):
    recipe = recipe_of()
    result, prompts = measure(policy, recipe, FirstTokenEven())
    expected = []
    for prompt in prompts:
        with torch.no_grad():
            logits = policy.model(torch.tensor([prompt.token_ids])).logits[0, -1]
        expected.append(float(int(logits.argmax()) % 2 == 0))
    assert list(result.outcomes) == expected
    assert result.accuracy == pytest.approx(sum(expected) / len(expected))
    assert result.n == len(prompts)
    # Eq. 11 from the samples themselves: seeds are fixed, so they can be drawn again.
    from omnithinker.rollout.base import Sampling, sample_seed
    from tests.builders.policy import generate

    sampling = Sampling(temperature=1.0, top_k=50, max_new_tokens=4)
    entropies, lengths = [], []
    for prompt in prompts:
        seed = sample_seed(0, "evaluate", "math", prompt.index)
        completion = next(iter(generate(policy, [prompt], [[seed]], [sampling])))[1].trajectories[0]
        ids = torch.tensor([[*prompt.token_ids, *completion.token_ids]])
        with torch.no_grad():
            logits = policy.model(ids).logits[0, len(prompt.token_ids) - 1 : -1]
        logprob = torch.log_softmax(logits.double(), -1)
        entropies.append(float(-(logprob.exp() * logprob).sum(-1).mean()))
        lengths.append(len(completion.token_ids))
    assert result.entropy == pytest.approx(sum(entropies) / len(entropies), abs=1e-5)
    assert result.length == pytest.approx(sum(lengths) / len(lengths))


def test_temperature_changes_the_measured_entropy(policy):
    cold, _ = measure(policy, recipe_of(), FirstTokenEven())
    hot, _ = measure(policy, recipe_of(temperature=2.0), FirstTokenEven())
    assert hot.entropy > cold.entropy


def test_undefined_items_are_excluded_and_counted(policy):
    whole, _ = measure(policy, recipe_of(), FirstTokenEven())
    part, _ = measure(policy, recipe_of(), FirstTokenEven(skip={0, 3}))
    kept = [o for i, o in enumerate(whole.outcomes) if i not in (0, 3)]
    assert part.n == 6
    assert part.undefined == 4  # greedy and sampled
    assert part.accuracy == pytest.approx(sum(kept) / 6)
    assert part.outcomes[0] is None


def test_nothing_defined_is_an_error(policy):
    with pytest.raises(OmniThinkerError, match=r"task math: no held-out item has a defined outcome \(skipped\)"):
        measure(policy, recipe_of(), FirstTokenEven(skip=set(range(8))))
