"""Curves over training steps, read from metrics and evaluations; several seeds are averaged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from omnithinker.report.collect import Run, RunGroup, Study
from omnithinker.types import EvalResult, Validation

Points = tuple[tuple[int, ...], tuple[float, ...]]
"""Steps and values, the steps rising."""

Band = tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]
"""Steps, values and their standard errors, the steps rising."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One task's numbers along one run."""

    task: str
    """Which task."""
    raw: Points
    """Every training step that had this task; mean over seeds."""
    smooth: Points
    """The same, averaged over neighbouring steps."""
    held_out: Points
    """Evaluations on held-out items; mean over seeds."""
    validation: Band
    """Accuracy on validation items; mean over seeds. They share their items, so errors are averaged too: the error of
    the mean is at most that."""


def curve(study: Study, group: RunGroup, task: str, measure: str) -> Curve:
    """Collect a measure (``accuracy``, ``reward`` or ``entropy``) of a task."""
    raw = _mean_points([_training(run, task, measure) for run in group.runs])
    evaluations: dict[str, Callable[[EvalResult], float]] = {
        "accuracy": lambda result: result.accuracy,
        "entropy": lambda result: result.entropy,
    }
    held_out: Points = ((), ())
    if measure in evaluations:
        held_out = _mean_points([_held_out(study, run, task, evaluations[measure]) for run in group.runs])
    validation: Band = ((), (), ())
    if measure == "accuracy":
        accuracies, errors = (
            _mean_points([_validation(run, task, value) for run in group.runs])
            for value in (lambda found: found.accuracy, lambda found: found.standard_error)
        )
        validation = *accuracies, errors[1]
    return Curve(task, raw, smoothed(raw), held_out, validation)


def smoothed(points: Points) -> Points:
    """Centred moving average over about a tenth of the points, at least 3; the window shrinks at both ends."""
    steps, values = points
    half = max(1, len(values) // 20)
    means = [
        fmean(values[k - min(half, k, len(values) - 1 - k) : k + min(half, k, len(values) - 1 - k) + 1])
        for k in range(len(values))
    ]
    return steps, tuple(means)


def phases(run: Run) -> list[tuple[str, int, int]]:
    """Stretches of steps that train a single task: task, first and last step; empty for mixed batches."""
    found: list[tuple[str, int, int]] = []
    for metrics in run.steps:
        if len(metrics.tasks) != 1:
            return []
        (task,) = metrics.tasks
        step = metrics.step
        if found and found[-1][0] == task:
            found[-1] = (task, found[-1][1], step)
        else:
            found.append((task, step, step))
    return found


def _training(run: Run, task: str, measure: str) -> dict[int, float]:
    return {step.step: values[task] for step in run.steps if task in (values := step.per_task(measure))}


def _held_out(study: Study, run: Run, task: str, value: Callable[[EvalResult], float]) -> dict[int, float]:
    found = {check.step: value(check.results[task]) for check in run.checks if task in check.results}
    if study.base and task in study.base.results:
        found[0] = value(study.base.results[task])
    if task in run.results and run.steps:
        found[run.measured_step] = value(run.results[task])
    return found


def _validation(run: Run, task: str, value: Callable[[Validation], float]) -> dict[int, float]:
    return {check.step: value(check.results[task]) for check in run.validations if task in check.results}


def _mean_points(seeds: Sequence[dict[int, float]]) -> Points:
    by_step: dict[int, list[float]] = defaultdict(list)
    for seed in seeds:
        for step, value in seed.items():
            by_step[step].append(value)
    steps = tuple(sorted(by_step))
    return steps, tuple(fmean(by_step[step]) for step in steps)
