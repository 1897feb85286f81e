"""Numbers with standard errors, from outcomes per item; the same items pair two models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt

from omnithinker.planning import accuracy_floor, backward_transfer, entropy_change
from omnithinker.report.collect import Run, RunGroup, Study
from omnithinker.types import EvalResult

Floats = npt.NDArray[np.float64]
"""Array of doubles; shapes are given where it is used."""

Items = Sequence[float | None]
"""[n] outcome per held-out item, None where undefined."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and how far it may be off."""

    value: float
    """Mean."""
    error: float
    """Standard error over held-out items."""
    spread: float | None = None
    """Standard deviation over seeds, where there are several."""

    @property
    def is_clear(self) -> bool:
        """True when it is more than two standard errors from zero."""
        return abs(self.value) > 2 * self.error


def mean_items(runs: Sequence[Run], task: str) -> list[float | None]:
    """[n] per item, the mean over seeds of the outcomes that are defined."""
    columns = zip(*(run.results[task].outcomes for run in runs), strict=True)
    known = [[value for value in column if value is not None] for column in columns]
    return [fmean(column) if column else None for column in known]


def estimate(items: Items) -> Estimate:
    """Mean of the defined outcomes with its standard error (n-1 convention); NaN when none is defined."""
    known = [value for value in items if value is not None]
    if not known:
        return Estimate(math.nan, math.inf)
    return Estimate(fmean(known), stdev(known) / math.sqrt(len(known)) if len(known) > 1 else math.inf)


def paired(after: Items, before: Items) -> Estimate:
    """Mean difference over items defined for both, with the standard error of the paired difference."""
    both = zip(after, before, strict=True)
    return estimate([a - b for a, b in both if a is not None and b is not None])


def accuracy(runs: Sequence[Run], task: str) -> Estimate:
    """Greedy accuracy over seeds, with the spread between seeds."""
    if len(runs) == 1:
        return Estimate(runs[0].results[task].accuracy, runs[0].results[task].standard_error)
    means = [run.results[task].accuracy for run in runs]
    return Estimate(fmean(means), estimate(mean_items(runs, task)).error, stdev(means))


def gain(after: Sequence[Run], before: Sequence[Run], task: str) -> Estimate:
    """Paired difference of accuracy between two groups of runs on one task; several seeds add their own noise."""
    found = paired(mean_items(after, task), mean_items(before, task))
    return _with_seeds(found, *([run.results[task].accuracy for run in runs] for runs in (after, before)))


def _with_seeds(found: Estimate, *groups: Sequence[float]) -> Estimate:
    """Add the standard error over seeds, where there are several, to that over items."""
    seeds = (stdev(group) / math.sqrt(len(group)) for group in groups if len(group) > 1)
    return Estimate(found.value, math.hypot(found.error, *seeds))


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of independent estimates, one per task."""
    return Estimate(
        fmean(each.value for each in estimates), math.hypot(*(each.error for each in estimates)) / len(estimates)
    )


def mean_accuracy(study: Study, runs: Sequence[Run]) -> Estimate:
    """Mean over tasks of the accuracy."""
    found = mean_of([accuracy(runs, task) for task in study.tasks])
    if len(runs) == 1:
        return found
    return Estimate(found.value, found.error, stdev(_task_mean(run, study.tasks) for run in runs))


def mean_gain(study: Study, after: Sequence[Run], before: Sequence[Run]) -> Estimate:
    """Mean over tasks of the paired difference; several seeds add their own noise."""
    tasks = study.tasks
    found = mean_of([paired(mean_items(after, task), mean_items(before, task)) for task in tasks])
    return _with_seeds(found, *([_task_mean(run, tasks) for run in runs] for runs in (after, before)))


def _task_mean(run: Run, tasks: Sequence[str]) -> float:
    return fmean(run.results[task].accuracy for task in tasks)


def floored(value: float, n: int) -> float:
    """An accuracy that has a logarithm: at least half an item."""
    return max(value, 1 / (2 * n))


def log_ratio(after: Items, before: Items) -> Estimate:
    """log(a / b) of two accuracies on the same items; standard error by the delta method, pairing kept."""
    both = [(a, b) for a, b in zip(after, before, strict=True) if a is not None and b is not None]
    n = len(both)
    if n == 0:
        return Estimate(math.nan, math.inf)
    mean_a, mean_b = (floored(fmean(column), n) for column in zip(*both, strict=True))
    influence = [a / mean_a - b / mean_b for a, b in both]
    return Estimate(math.log(mean_a / mean_b), estimate(influence).error)


def delta_rel(study: Study, runs: Sequence[Run]) -> Estimate | None:
    """Eq. 14 as measured: (1/K) sum_i log(a_i / a_i,base) in nats; None while the base is unknown."""
    if study.base is None:
        return None
    pairs = [(mean_items(runs, task), list(study.base.results[task].outcomes)) for task in study.tasks]
    return mean_of([log_ratio(after, before) for after, before in pairs])


def singles(study: Study) -> Mapping[str, RunGroup]:
    """Finished single-task groups by task."""
    return {group.subject: group for group in study.of("single") if group.done}


def transfer(study: Study) -> Floats | None:
    """[K, K] Eq. 6, rows evaluated, columns trained, NaN where a run is missing; None without a base."""
    if study.base is None:
        return None
    base = study.base.results
    floor = accuracy_floor(np.array([base[task].n for task in study.tasks], dtype=np.int64), len(study.tasks))
    before = np.array([base[task].accuracy for task in study.tasks])
    return _matrix(study, lambda result: result.accuracy, lambda after: backward_transfer(before, after, floor))


def entropy_matrix(study: Study) -> Floats | None:
    """[K, K] Eq. 12, rows evaluated, columns trained, NaN where a run is missing; None where there is no ratio."""
    if study.base is None or any(study.base.results[task].entropy <= 0 for task in study.tasks):
        return None
    before = np.array([study.base.results[task].entropy for task in study.tasks])
    return _matrix(study, lambda result: result.entropy, lambda after: entropy_change(before, after))


def _matrix(study: Study, measure: Callable[[EvalResult], float], change: Callable[[Floats], Floats]) -> Floats | None:
    done = singles(study)
    if not done:
        return None
    after = np.full((len(study.tasks), len(study.tasks)), np.nan)
    for j, trained in enumerate(study.tasks):
        if trained in done:
            for i, task in enumerate(study.tasks):
                after[i, j] = fmean(measure(run.results[task]) for run in done[trained].done)
    return change(after)
