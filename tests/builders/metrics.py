"""Metrics of steps, made by hand."""

from __future__ import annotations

from collections.abc import Mapping

from omnithinker.io.step_metrics import Number, Seconds, StepMetrics, TaskMetrics

NO_TIME = Seconds(generate=0.0, wait=0.0, train=0.0)


def accuracies(step: int, by_task: Mapping[str, Number]) -> StepMetrics:
    """A step that measured the accuracy of some tasks."""
    tasks = {task: TaskMetrics(accuracy=accuracy) for task, accuracy in by_task.items()}
    return StepMetrics(step=step, tokens=0, seconds=NO_TIME, tasks=tasks)
