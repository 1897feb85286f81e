"""Accuracies and differences with standard errors, from outcomes per item; models are paired by item."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt

from omnithinker.io.step_metrics import mean_defined
from omnithinker.planning import accuracy_floor, backward_transfer, entropy_change
from omnithinker.report.records import Run, RunGroup, Study
from omnithinker.types import EvalResult

Floats = npt.NDArray[np.float64]
"""Array of 64-bit floats."""

Items = Sequence[float | None]
"""[n] outcome per held-out item; None where undefined."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its error."""

    value: float
    """Estimated value."""
    error: float
    """Standard error over held-out items."""
    spread: float | None = None
    """Standard deviation over seeds; None with one seed."""

    @property
    def is_clear(self) -> bool:
        """True if the value is more than two standard errors from zero."""
        return abs(self.value) > 2 * self.error


def mean_items(runs: Sequence[Run], task: str) -> list[float | None]:
    """Return [n] the mean over seeds of the defined outcomes of each item."""
    return [mean_defined(column) for column in zip(*(run.results[task].outcomes for run in runs), strict=True)]


def estimate(items: Items) -> Estimate:
    """Return the mean of the defined outcomes with its standard error (n-1 convention); NaN if none is defined."""
    defined = [value for value in items if value is not None]
    if not defined:
        return Estimate(math.nan, math.inf)
    return Estimate(fmean(defined), stdev(defined) / math.sqrt(len(defined)) if len(defined) > 1 else math.inf)


def paired(after: Items, before: Items) -> Estimate:
    """Return the mean difference over items defined for both, with the standard error of the paired difference."""
    both = zip(after, before, strict=True)
    return estimate([a - b for a, b in both if a is not None and b is not None])


def accuracy(runs: Sequence[Run], task: str) -> Estimate:
    """Return the mean greedy accuracy over seeds, with the spread between seeds."""
    if len(runs) == 1:
        return Estimate(runs[0].results[task].accuracy, runs[0].results[task].standard_error)
    means = [run.results[task].accuracy for run in runs]
    return Estimate(fmean(means), estimate(mean_items(runs, task)).error, stdev(means))


def gain(after: Sequence[Run], before: Sequence[Run], task: str) -> Estimate:
    """Return the paired difference of accuracy between two groups of runs; several seeds add their standard error."""
    difference = paired(mean_items(after, task), mean_items(before, task))
    return _with_seeds(difference, *([run.results[task].accuracy for run in runs] for runs in (after, before)))


def _with_seeds(over_items: Estimate, *groups: Sequence[float]) -> Estimate:
    """Add the standard error over seeds, if there are several, to that over items."""
    seeds = (stdev(group) / math.sqrt(len(group)) for group in groups if len(group) > 1)
    return Estimate(over_items.value, math.hypot(over_items.error, *seeds))


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of independent estimates, one per task."""
    return Estimate(
        fmean(each.value for each in estimates), math.hypot(*(each.error for each in estimates)) / len(estimates)
    )


def mean_accuracy(study: Study, runs: Sequence[Run]) -> Estimate:
    """Return the mean accuracy over tasks."""
    mean = mean_of([accuracy(runs, task) for task in study.tasks])
    if len(runs) == 1:
        return mean
    return Estimate(mean.value, mean.error, stdev(_task_mean(run, study.tasks) for run in runs))


def mean_gain(study: Study, after: Sequence[Run], before: Sequence[Run]) -> Estimate:
    """Return the mean paired difference over tasks; several seeds add their standard error."""
    tasks = study.tasks
    difference = mean_of([paired(mean_items(after, task), mean_items(before, task)) for task in tasks])
    return _with_seeds(difference, *([_task_mean(run, tasks) for run in runs] for runs in (after, before)))


def _task_mean(run: Run, tasks: Sequence[str]) -> float:
    return fmean(run.results[task].accuracy for task in tasks)


def floored(value: float, n: int) -> float:
    """Raise an accuracy to at least half an item, so that it has a logarithm."""
    return max(value, 1 / (2 * n))


def log_ratio(after: Items, before: Items) -> Estimate:
    """Return log(a / b) of two accuracies on the same items; standard error by the delta method for paired items."""
    both = [(a, b) for a, b in zip(after, before, strict=True) if a is not None and b is not None]
    n = len(both)
    if n == 0:
        return Estimate(math.nan, math.inf)
    mean_a, mean_b = (floored(fmean(column), n) for column in zip(*both, strict=True))
    influence = [a / mean_a - b / mean_b for a, b in both]
    return Estimate(math.log(mean_a / mean_b), estimate(influence).error)


def delta_rel(study: Study, runs: Sequence[Run]) -> Estimate | None:
    """Return the measured delta_rel of Eq. 14, (1/K) sum_i log(a_i / a_i,base), in nats; None without a base."""
    if study.base is None:
        return None
    pairs = [(mean_items(runs, task), list(study.base.results[task].outcomes)) for task in study.tasks]
    return mean_of([log_ratio(after, before) for after, before in pairs])


def singles(study: Study) -> Mapping[str, RunGroup]:
    """Return the finished single-task groups by task."""
    return {group.subject: group for group in study.of("single") if group.done}


def transfer(study: Study) -> Floats | None:
    """Return [K, K] Eq. 6, rows evaluated, columns trained, NaN where a run is missing; None without base or runs."""
    if study.base is None:
        return None
    base = study.base.results
    floor = accuracy_floor(np.array([base[task].n for task in study.tasks], dtype=np.int64), len(study.tasks))
    before = np.array([base[task].accuracy for task in study.tasks])
    return _matrix(study, lambda result: result.accuracy, lambda after: backward_transfer(before, after, floor))


def entropy_matrix(study: Study) -> Floats | None:
    """Return [K, K] Eq. 12, rows evaluated, columns trained; NaN where an entropy is absent or a run is missing.

    None if no entry is defined.
    """
    if study.base is None:
        return None
    before = np.array([_number(study.base.results[task].entropy) for task in study.tasks])
    matrix = _matrix(study, lambda result: _number(result.entropy), lambda after: entropy_change(before, after))
    return None if matrix is None or np.isnan(matrix).all() else matrix


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _matrix(study: Study, value: Callable[[EvalResult], float], change: Callable[[Floats], Floats]) -> Floats | None:
    """[K, K] change of a value by single-task training; None before the first single-task run is finished."""
    done = singles(study)
    if not done:
        return None
    after = np.full((len(study.tasks), len(study.tasks)), np.nan)
    for j, trained in enumerate(study.tasks):
        if trained in done:
            for i, task in enumerate(study.tasks):
                after[i, j] = fmean(value(run.results[task]) for run in done[trained].done)
    return change(after)
