"""Evaluation: greedy and sampled accuracy with standard errors, and token entropy (Eq. 11)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.errors import OmniThinkerError
from omnithinker.io.step_metrics import mean_defined
from omnithinker.policy.base import Policy
from omnithinker.rewards.runner import Rollout, Scorer
from omnithinker.rollout.native import generate, sample_seed, sampling_of
from omnithinker.train.metrics import completion_entropy, component_means
from omnithinker.types import EvalResult, Prompt, RolloutGroup, Validation

EXAMPLES = 4
"""Greedy completions kept per task, for the report."""


def evaluate(
    policy: Policy, prompts: Mapping[str, Sequence[Prompt]], scorer: Scorer, recipe: Recipe, *, seed: int
) -> dict[str, EvalResult]:
    """Measure a policy on held-out prompts of every task.

    Args:
        policy: the model.
        prompts: per task, held-out prompts.
        scorer: rewards; the primary components decide correctness.
        recipe: sampling and evaluation settings.
        seed: fixes the sampled completions.
    """
    return {task: _evaluate_task(task, policy, items, scorer, recipe, seed) for task, items in prompts.items()}


def validate(
    policy: Policy, prompts: Mapping[str, Sequence[Prompt]], scorer: Scorer, recipe: Recipe, *, seed: int
) -> dict[str, Validation]:
    """Greedy accuracy alone, at half the cost of an evaluation; arguments as for :func:`evaluate`."""
    found = {}
    for task, items in prompts.items():
        groups = _answer(policy, items, scorer, recipe, greedy=True, seed=seed)
        found[task] = Validation(*_accuracy(task, groups, "validation item"))
    return found


def _accuracy(task: str, groups: Sequence[RolloutGroup], item: str) -> tuple[float, float, int]:
    """Mean, standard error and number of the defined outcomes of a task's items.

    Raises:
        OmniThinkerError: there is none.
    """
    mean, error, n = mean_and_error([group.scores[0].correct for group in groups])
    if n == 0:
        causes = sorted({cause for group in groups for cause in group.scores[0].causes.values()})
        raise OmniThinkerError(f"task {task}: no {item} has a defined outcome ({', '.join(causes)})")
    return mean, error, n


def _evaluate_task(
    task: str, policy: Policy, prompts: Sequence[Prompt], scorer: Scorer, recipe: Recipe, seed: int
) -> EvalResult:
    greedy = _answer(policy, prompts, scorer, recipe, greedy=True, seed=seed)
    sampled = _answer(policy, prompts, scorer, recipe, greedy=False, seed=seed)
    outcomes = tuple(group.scores[0].correct for group in greedy)
    accuracy, error, n = _accuracy(task, greedy, "held-out item")
    sampled_outcomes = [group.scores[0].correct for group in sampled]
    sampled_accuracy, sampled_error, _ = mean_and_error(sampled_outcomes)
    said = [group.trajectories[0] for group in sampled if group.scores[0].correct is not None]
    return EvalResult(
        task=task,
        n=n,
        accuracy=accuracy,
        standard_error=error,
        outcomes=outcomes,
        sampled_accuracy=sampled_accuracy,
        sampled_standard_error=sampled_error,
        entropy=mean_defined(map(completion_entropy, said)) or 0.0,
        components=component_means([group.scores[0] for group in sampled]),
        length=sum(len(completion.token_ids) for completion in said) / max(len(said), 1),
        truncated=sum(completion.truncated for completion in said) / max(len(said), 1),
        undefined=outcomes.count(None) + sampled_outcomes.count(None),
        examples=tuple(map(_example, greedy[:EXAMPLES])),
    )


def _answer(
    policy: Policy, prompts: Sequence[Prompt], scorer: Scorer, recipe: Recipe, *, greedy: bool, seed: int
) -> list[RolloutGroup]:
    """One scored completion for each prompt."""
    seeds = [[sample_seed(seed, "evaluate", prompt.task, prompt.index)] for prompt in prompts]
    settings = [sampling_of(recipe.sampling_of(prompt.task), greedy=greedy) for prompt in prompts]
    drawn = generate(policy, prompts, seeds, settings, batch_size=recipe.sampling.batch_size)
    answered = Rollout({p: scorer.submit(group) for p, group in drawn})
    answered.settle()  # when one fails the others still finish
    return answered.groups()


def mean_and_error(outcomes: Sequence[float | None]) -> tuple[float, float, int]:
    """Mean of the defined outcomes, its standard error (n-1 convention), and their number."""
    known = [outcome for outcome in outcomes if outcome is not None]
    n = len(known)
    if n == 0:
        return 0.0, 0.0, 0
    mean = sum(known) / n
    variance = sum((outcome - mean) ** 2 for outcome in known) / max(n - 1, 1)
    return mean, math.sqrt(variance / n), n


def _example(group: RolloutGroup) -> dict[str, Any]:
    return {
        "prompt": group.prompt.text,
        "completion": group.trajectories[0].text,
        "components": dict(group.scores[0].components),
    }
