"""What a training step is measured by, per task."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import StatisticsError, correlation
from typing import Any

from torch import Tensor

from omnithinker.types import CANDIDATE_CHARS, REFERENCE_CHARS, RolloutGroup, Score, Trajectory


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long the parts of a step took."""

    generate: float
    """Until all completions were drawn; rewards are computed meanwhile."""
    wait: float
    """For rewards that were not there when training needed them."""
    train: float
    """The updates."""

    @property
    def step(self) -> float:
        """All of it."""
        return self.generate + self.wait + self.train


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """Metrics of one step."""

    step: int
    """Steps finished, this one included."""
    tokens: int
    """Trajectory tokens drawn."""
    seconds: Seconds
    """Of the step."""
    values: dict[str, float | None]
    """Everything else by name, such as ``task/math/reward``."""

    @property
    def tokens_per_second(self) -> float:
        """Trajectory tokens over the seconds of the whole step."""
        return self.tokens / max(self.seconds.step, 1e-9)

    def record(self) -> dict[str, Any]:
        """One line of metrics.jsonl."""
        return {
            "step": self.step,
            "tokens": self.tokens,
            "seconds/generate": round(self.seconds.generate, 4),
            "seconds/wait": round(self.seconds.wait, 4),
            "seconds/train": round(self.seconds.train, 4),
            "tokens_per_second": round(self.tokens_per_second, 2),
            **self.values,
        }

    def task(self, measure: str) -> dict[str, float]:
        """A measure of every task of this step, by task name."""
        suffix = f"/{measure}"
        return {
            name.removeprefix("task/").removesuffix(suffix): value
            for name, value in self.values.items()
            if name.startswith("task/") and name.count("/") == 2 and name.endswith(suffix) and value is not None
        }


@dataclass(frozen=True, slots=True)
class Update:
    """What one optimizer update was."""

    loss: float
    """Of its minibatch."""
    grad_norm: float
    """Global norm before clipping."""
    kl: Mapping[str, Sequence[float]]
    """Per task with a KL term, the KL estimate of each row (nats)."""
    clip_frac: Mapping[str, Sequence[float]]
    """Per task, the share of each row's tokens at which the clip was active."""

    @property
    def finite(self) -> bool:
        """Whether it could be applied."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def step_metrics(
    step: int,
    groups: Sequence[RolloutGroup],
    advantages_PG: Tensor,
    updates: Sequence[Update],
    seconds: Seconds,
    judges: Mapping[str, float | None],
) -> StepMetrics:
    """Metrics of a step.

    Args:
        step: steps finished.
        groups: [P] scored groups.
        advantages_PG: [P, G] with NaN where a completion is not trained on.
        updates: the step's updates; those that are not finite were not applied.
        seconds: how long it took.
        judges: what judges did since the run began, by names such as ``judge/default/calls``.
    """
    applied = [update for update in updates if update.finite]
    values: dict[str, float | None] = {
        "loss": _mean([update.loss for update in applied]),
        "grad_norm": _mean([update.grad_norm for update in applied]),
        "updates": len(applied),
        "nonfinite": len(updates) - len(applied),
    }
    by_task: dict[str, list[int]] = defaultdict(list)
    for p, group in enumerate(groups):
        by_task[group.prompt.task].append(p)
    for task, members in sorted(by_task.items()):
        values |= {
            f"task/{task}/{name}": value
            for name, value in _task_metrics([groups[p] for p in members], advantages_PG[members]).items()
        }
        values[f"task/{task}/kl"] = _mean([x for update in applied for x in update.kl.get(task, [])])
        values[f"task/{task}/clip_frac"] = _mean([x for update in applied for x in update.clip_frac.get(task, [])])
    tokens = sum(len(completion.token_ids) for group in groups for completion in group.trajectories)
    return StepMetrics(step, tokens, seconds, {**values, **judges})


def _task_metrics(groups: Sequence[RolloutGroup], advantages_PG: Tensor) -> dict[str, float | None]:
    """Metrics of one task's groups; undefined completions count in ``undefined`` and nowhere else."""
    pairs = [pair for group in groups for pair in zip(group.trajectories, group.scores, strict=True)]
    defined = [(completion, score) for completion, score in pairs if score.reward is not None]
    frac_reward_zero_std = [bool((row_G.nan_to_num() == 0).all()) for row_G in advantages_PG]
    metrics: dict[str, float | None] = {
        "reward": _mean([score.reward for _, score in defined]),
        "accuracy": _mean([score.correct for _, score in defined]),
        "entropy": _mean([completion_entropy(completion) for completion, _ in defined]),
        "length": _mean([len(completion.token_ids) for completion, _ in defined]),
        "truncated": _mean([completion.truncated for completion, _ in defined]),
        "completions": len(pairs),
        "tokens": sum(len(completion.token_ids) for completion, _ in pairs),
        "undefined": len(pairs) - len(defined),
        "frac_reward_zero_std": _mean(frac_reward_zero_std),
        "dropped_groups": sum(bool(row_G.isnan().all()) for row_G in advantages_PG),
    }
    metrics |= {f"component/{name}": value for name, value in component_means([s for _, s in pairs]).items()}
    metrics |= {f"component/{name}": value for name, value in own_metrics([s for _, s in pairs]).items()}
    metrics |= _length_metrics([score for _, score in pairs])
    causes = Counter(f"{name}/{cause}" for _, score in pairs for name, cause in score.causes.items())
    return metrics | {f"undefined/{name}": count for name, count in sorted(causes.items())}


def _length_metrics(scores: Sequence[Score]) -> dict[str, float | None]:
    """Preference beside length, for each component that compared texts, over completions with a defined preference."""
    metrics: dict[str, float | None] = {}
    for name in dict.fromkeys(name for score in scores for name in score.details):
        compared = [
            (score.details[name][CANDIDATE_CHARS], score.details[name][REFERENCE_CHARS], value)
            for score in scores
            if CANDIDATE_CHARS in score.details.get(name, {}) and (value := score.components[name]) is not None
        ]
        if not compared:
            continue
        metrics |= {
            f"judged/{name}/{CANDIDATE_CHARS}": _mean([candidate for candidate, _, _ in compared]),
            f"judged/{name}/{REFERENCE_CHARS}": _mean([reference for _, reference, _ in compared]),
            f"judged/{name}/longer": _mean([candidate > reference for candidate, reference, _ in compared]),
            f"judged/{name}/preferred_longer": _mean([value for c, r, value in compared if c > r]),
            f"judged/{name}/preferred_not_longer": _mean([value for c, r, value in compared if c <= r]),
            f"judged/{name}/length_correlation": _correlation(
                [candidate - reference for candidate, reference, _ in compared], [value for _, _, value in compared]
            ),
        }
    return metrics


def _correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's; None where one of them is constant."""
    try:
        return correlation(first, second)
    except StatisticsError:
        return None


def completion_entropy(completion: Trajectory) -> float:
    """Eq. 11's inner mean: entropy per token of one completion (nats); 0 for an empty one."""
    return sum(completion.entropies) / max(len(completion.entropies), 1)


def component_means(scores: Sequence[Score]) -> dict[str, float | None]:
    """Mean of every component over the completions where it is defined; None when nowhere."""
    names = list(dict.fromkeys(name for score in scores for name in score.components))
    return {name: _mean([score.components.get(name) for score in scores]) for name in names}


def own_metrics(scores: Sequence[Score]) -> dict[str, float | None]:
    """Mean of every number that a component wants averaged, named ``component/number``."""
    values: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        for component, numbers in score.metrics.items():
            for name, value in numbers.items():
                values[f"{component}/{name}"].append(value)
    return {name: _mean(found) for name, found in values.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
