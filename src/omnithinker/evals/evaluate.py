"""Evaluation: greedy and sampled accuracy with standard errors, and token entropy (Eq. 11)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.errors import OmniThinkerError
from omnithinker.evals.completions import EvaluatedCompletions
from omnithinker.io.step_metrics import component_means, mean_defined
from omnithinker.policy.base import Policy
from omnithinker.rewards.runner import Scorer
from omnithinker.rollout.base import Generator, Sampling, rollout, sample_seed
from omnithinker.types import EvalResult, Prompt, RolloutGroup, Validation

EXAMPLES = 4
"""Greedy completions kept per task, for the report."""


def evaluate(
    policy: Policy,
    generator: Generator,
    prompts: Mapping[str, Sequence[Prompt]],
    scorer: Scorer,
    recipe: Recipe,
    *,
    seed: int,
    completions: EvaluatedCompletions | None = None,
) -> dict[str, EvalResult]:
    """Evaluate a policy on held-out prompts of every task.

    Args:
        policy: the policy.
        generator: samples its completions; has the policy's weights.
        prompts: held-out prompts per task.
        scorer: rewards; the primary components decide correctness.
        recipe: sampling and evaluation settings.
        seed: fixes the sampled completions.
        completions: receives all completions.

    Raises:
        OmniThinkerError: if no item of a task has a defined outcome.
    """
    results = {}
    for task, items in prompts.items():
        greedy, sampled = (
            _answer(policy, generator, items, scorer, recipe, greedy=greedy, seed=seed) for greedy in (True, False)
        )
        if completions is not None:
            completions.add(task, greedy, sampled)
        results[task] = _result(task, greedy, sampled)
    return results


def validate(
    policy: Policy,
    generator: Generator,
    prompts: Mapping[str, Sequence[Prompt]],
    scorer: Scorer,
    recipe: Recipe,
    *,
    seed: int,
) -> dict[str, Validation]:
    """Measure greedy accuracy only, at half the cost of :func:`evaluate`; same arguments and errors."""
    results = {}
    for task, items in prompts.items():
        groups = _answer(policy, generator, items, scorer, recipe, greedy=True, seed=seed)
        results[task] = Validation(*_accuracy(task, groups, "validation item"))
    return results


def _answer(
    policy: Policy,
    generator: Generator,
    prompts: Sequence[Prompt],
    scorer: Scorer,
    recipe: Recipe,
    *,
    greedy: bool,
    seed: int,
) -> list[RolloutGroup]:
    """[P] one scored completion per prompt."""
    seeds_P1 = [[sample_seed(seed, "evaluate", prompt.task, prompt.index)] for prompt in prompts]
    sampling_P = [Sampling.of(recipe.sampling_of(prompt.task), greedy=greedy) for prompt in prompts]
    pending = scorer.score(rollout(generator, policy, prompts, seeds_P1, sampling_P))
    pending.settle()  # if one fails, the others still finish
    return pending.groups()


def _result(task: str, greedy: Sequence[RolloutGroup], sampled: Sequence[RolloutGroup]) -> EvalResult:
    """Summarize one task: P items with one greedy and one sampled completion each."""
    outcomes = tuple(group.scores[0].correct for group in greedy)
    sampled_outcomes = [group.scores[0].correct for group in sampled]
    accuracy, error, n = _accuracy(task, greedy, "held-out item")
    sampled_accuracy, sampled_error, _ = mean_and_error(sampled_outcomes)
    trajectories = [group.trajectories[0] for group in sampled if group.scores[0].correct is not None]
    return EvalResult(
        task=task,
        n=n,
        accuracy=accuracy,
        standard_error=error,
        outcomes=outcomes,
        sampled_accuracy=sampled_accuracy,
        sampled_standard_error=sampled_error,
        entropy=mean_defined(trajectory.mean_entropy for trajectory in trajectories),
        components=component_means([group.scores[0] for group in sampled]),
        length=sum(trajectory.length for trajectory in trajectories) / max(len(trajectories), 1),
        truncated=sum(trajectory.truncated for trajectory in trajectories) / max(len(trajectories), 1),
        undefined=outcomes.count(None) + sampled_outcomes.count(None),
        examples=tuple(map(_example, greedy[:EXAMPLES])),
    )


def _accuracy(task: str, groups: Sequence[RolloutGroup], item: str) -> tuple[float, float, int]:
    """Mean, standard error and number of the defined outcomes of a task's items.

    Raises:
        OmniThinkerError: if there is none.
    """
    mean, error, n = mean_and_error([group.scores[0].correct for group in groups])
    if n == 0:
        causes = sorted({cause for group in groups for cause in group.scores[0].causes.values()})
        raise OmniThinkerError(f"task {task}: no {item} has a defined outcome ({', '.join(causes)})")
    return mean, error, n


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
