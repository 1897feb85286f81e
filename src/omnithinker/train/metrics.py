"""Metrics of a training step, computed from its scored groups, advantages and updates."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import StatisticsError, correlation

from torch import Tensor

from omnithinker.io.step_metrics import (
    JudgeMetrics,
    Number,
    Seconds,
    StepMetrics,
    TaskMetrics,
    component_means,
    mean_defined,
)
from omnithinker.types import CANDIDATE_CHARS, REFERENCE_CHARS, RolloutGroup, Score


@dataclass(frozen=True, slots=True)
class Update:
    """Loss, gradient and metrics of one optimizer update."""

    loss: float
    """Loss of its minibatch."""
    grad_norm: float
    """Global gradient norm before clipping."""
    kl: Mapping[str, Sequence[float]]
    """Per task with a KL term, the KL estimate of each row (nats)."""
    clip_frac: Mapping[str, Sequence[float]]
    """Per task, the share of each row's tokens at which the clip is active."""

    @property
    def finite(self) -> bool:
        """True if the update was applied."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def step_metrics(
    step: int,
    groups: Sequence[RolloutGroup],
    advantages_PG: Tensor,
    updates: Sequence[Update],
    seconds: Seconds,
    judges: Mapping[str, JudgeMetrics],
) -> StepMetrics:
    """Compute the metrics of a step.

    Args:
        step: steps finished, this one included.
        groups: [P] scored groups.
        advantages_PG: [P, G], NaN where a completion is not trained on.
        updates: the step's updates; those that are not finite were not applied.
        seconds: wall-clock time by phase.
        judges: per judge, usage since the run began.
    """
    applied = [update for update in updates if update.finite]
    by_task: dict[str, list[int]] = defaultdict(list)
    for p, group in enumerate(groups):
        by_task[group.prompt.task].append(p)
    return StepMetrics(
        step=step,
        tokens=sum(trajectory.length for group in groups for trajectory in group.trajectories),
        seconds=seconds,
        loss=mean_defined(update.loss for update in applied),
        grad_norm=mean_defined(update.grad_norm for update in applied),
        updates=len(applied),
        nonfinite=len(updates) - len(applied),
        tasks={
            task: _task_metrics(task, [groups[p] for p in members], advantages_PG[members], applied)
            for task, members in sorted(by_task.items())
        },
        judges=judges,
    )


def _task_metrics(
    task: str, groups: Sequence[RolloutGroup], advantages_PG: Tensor, applied: Sequence[Update]
) -> TaskMetrics:
    """Metrics of one task's groups; undefined completions count in ``undefined`` and ``causes`` only."""
    pairs = [pair for group in groups for pair in zip(group.trajectories, group.scores, strict=True)]
    scores = [score for _, score in pairs]
    defined = [(trajectory, score) for trajectory, score in pairs if score.reward is not None]
    return TaskMetrics(
        reward=mean_defined(score.reward for _, score in defined),
        accuracy=mean_defined(score.correct for _, score in defined),
        entropy=mean_defined(trajectory.mean_entropy for trajectory, _ in defined),
        length=mean_defined(trajectory.length for trajectory, _ in defined),
        truncated=mean_defined(trajectory.truncated for trajectory, _ in defined),
        completions=len(pairs),
        tokens=sum(trajectory.length for trajectory, _ in pairs),
        undefined=len(pairs) - len(defined),
        frac_reward_zero_std=mean_defined(bool((row_G.nan_to_num() == 0).all()) for row_G in advantages_PG),
        dropped_groups=sum(bool(row_G.isnan().all()) for row_G in advantages_PG),
        components=component_means(scores),
        component_metrics=component_metrics(scores),
        judged=_length_metrics(scores),
        causes=_causes(scores),
        kl=mean_defined(x for update in applied for x in update.kl.get(task, [])),
        clip_frac=mean_defined(x for update in applied for x in update.clip_frac.get(task, [])),
    )


def _causes(scores: Sequence[Score]) -> dict[str, dict[str, int]]:
    """Per component, completions for which it is undefined, by cause."""
    counts = Counter((name, cause) for score in scores for name, cause in score.causes.items())
    causes: dict[str, dict[str, int]] = {}
    for (name, cause), count in sorted(counts.items(), key=lambda item: "/".join(item[0])):
        causes.setdefault(name, {})[cause] = count
    return causes


def _length_metrics(scores: Sequence[Score]) -> dict[str, dict[str, Number]]:
    """Preference and length of each component that compares two texts, over completions with a defined preference."""
    metrics: dict[str, dict[str, Number]] = {}
    for name in dict.fromkeys(name for score in scores for name in score.details):
        compared = [
            (score.details[name][CANDIDATE_CHARS], score.details[name][REFERENCE_CHARS], value)
            for score in scores
            if CANDIDATE_CHARS in score.details.get(name, {}) and (value := score.components[name]) is not None
        ]
        if not compared:
            continue
        metrics[name] = {
            CANDIDATE_CHARS: mean_defined(candidate for candidate, _, _ in compared),
            REFERENCE_CHARS: mean_defined(reference for _, reference, _ in compared),
            "longer": mean_defined(candidate > reference for candidate, reference, _ in compared),
            "preferred_longer": mean_defined(value for c, r, value in compared if c > r),
            "preferred_not_longer": mean_defined(value for c, r, value in compared if c <= r),
            "length_correlation": _correlation(
                [candidate - reference for candidate, reference, _ in compared], [value for _, _, value in compared]
            ),
        }
    return metrics


def _correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson correlation; None if one of the sequences is constant."""
    try:
        return correlation(first, second)
    except StatisticsError:
        return None


def component_metrics(scores: Sequence[Score]) -> dict[str, dict[str, Number]]:
    """Return per component the mean of every number that it reports besides its value."""
    values: dict[str, dict[str, list[float]]] = {}
    for score in scores:
        for component, numbers in score.metrics.items():
            for name, value in numbers.items():
                values.setdefault(component, {}).setdefault(name, []).append(value)
    return {
        component: {name: mean_defined(collected) for name, collected in numbers.items()}
        for component, numbers in values.items()
    }
