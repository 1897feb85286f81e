"""Curves over training steps, from metrics and evaluations; the mean over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from omnithinker.io.step_metrics import Number
from omnithinker.report.records import Run, RunGroup, Study
from omnithinker.types import EvalResult, Validation

Points = tuple[tuple[int, ...], tuple[float, ...]]
"""Steps, rising, and values."""

Band = tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]
"""Steps, rising, values and their standard errors."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of one task along a run."""

    raw: Points
    """Training metric at every step with this task; mean over seeds."""
    smooth: Points
    """``raw``, averaged over neighbouring steps."""
    held_out: Points
    """Evaluations on held-out items; mean over seeds."""
    validation: Band
    """Accuracy on validation items; mean over seeds. Seeds share the items, so the mean of their standard errors is an
    upper bound of the error of the mean."""

    @property
    def is_empty(self) -> bool:
        """True if the metric was never defined."""
        return not (self.raw[0] or self.held_out[0] or self.validation[0])


def curve(study: Study, group: RunGroup, task: str, metric: str) -> Curve:
    """Collect a metric (``accuracy``, ``reward`` or ``entropy``) of a task."""
    raw = _mean_points([_training(run, task, metric) for run in group.runs])
    evaluated: dict[str, Callable[[EvalResult], Number]] = {
        "accuracy": lambda result: result.accuracy,
        "entropy": lambda result: result.entropy,
    }
    held_out: Points = ((), ())
    if metric in evaluated:
        held_out = _mean_points([_held_out(study, run, task, evaluated[metric]) for run in group.runs])
    validation: Band = ((), (), ())
    if metric == "accuracy":
        accuracies, errors = (
            _mean_points([_validation(run, task, value) for run in group.runs])
            for value in (lambda result: result.accuracy, lambda result: result.standard_error)
        )
        validation = *accuracies, errors[1]
    return Curve(raw, smoothed(raw), held_out, validation)


def smoothed(points: Points) -> Points:
    """Apply a centred moving average over about a tenth of the points, at least 3.

    Both ends cut the window, to half of its points: a single step says little, and readers look at the last one.
    """
    steps, values = points
    reach = max(1, len(values) // 20)
    return steps, tuple(fmean(values[max(0, k - reach) : k + reach + 1]) for k in range(len(values)))


def phases(run: Run) -> list[tuple[str, int, int]]:
    """Return the phases of a run that trains one task at a time: task, first and last step; else an empty list."""
    phases: list[tuple[str, int, int]] = []
    for metrics in run.steps:
        if len(metrics.tasks) != 1:
            return []
        (task,) = metrics.tasks
        if phases and phases[-1][0] == task:
            phases[-1] = (task, phases[-1][1], metrics.step)
        else:
            phases.append((task, metrics.step, metrics.step))
    return phases


def _training(run: Run, task: str, metric: str) -> dict[int, float]:
    return {metrics.step: values[task] for metrics in run.steps if task in (values := metrics.per_task(metric))}


def _held_out(study: Study, run: Run, task: str, value: Callable[[EvalResult], Number]) -> dict[int, float]:
    points = {each.step: value(each.results[task]) for each in run.evaluations if task in each.results}
    if study.base and task in study.base.results:
        points[0] = value(study.base.results[task])
    if task in run.results and run.steps:
        points[run.evaluated_step] = value(run.results[task])
    return {step: number for step, number in points.items() if number is not None}


def _validation(run: Run, task: str, value: Callable[[Validation], float]) -> dict[int, float]:
    return {each.step: value(each.results[task]) for each in run.validations if task in each.results}


def _mean_points(seeds: Sequence[dict[int, float]]) -> Points:
    by_step: dict[int, list[float]] = defaultdict(list)
    for points in seeds:
        for step, value in points.items():
            by_step[step].append(value)
    steps = tuple(sorted(by_step))
    return steps, tuple(fmean(by_step[step]) for step in steps)
