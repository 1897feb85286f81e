"""A run stops when a reward component is undefined for too many completions of a task."""

from __future__ import annotations

import pytest

from omnithinker.errors import RewardError
from omnithinker.io.step_metrics import StepMetrics, TaskMetrics
from omnithinker.train.undefined import WINDOW, UndefinedLimit
from tests.builders.metrics import NO_TIME


def step(**tasks: TaskMetrics) -> StepMetrics:
    return StepMetrics(step=1, tokens=0, seconds=NO_TIME, tasks=tasks)


def failing(count: int, component: str = "judge") -> TaskMetrics:
    return TaskMetrics(completions=10, causes={component: {"down": count}} if count else {})


def test_the_limit_holds_for_a_full_window_before_it_is_full():
    limit = UndefinedLimit(0.02)  # of 10 completions in 50 steps: 10
    for _ in range(5):
        limit.add(step(a=failing(2)))
    message = (
        r"reward 'judge' of task 'a' was undefined for 11 completions in 6 steps \(down 11\); "
        r"training.max_undefined = 0.02 allows 10. Fix the reward, or raise the limit"
    )
    with pytest.raises(RewardError, match=message):
        limit.add(step(a=failing(1)))


def test_failures_leave_the_window_after_its_length():
    limit = UndefinedLimit(0.02)
    for _ in range(10):
        limit.add(step(a=failing(1)))
    for _ in range(WINDOW - 1):
        limit.add(step(a=failing(0)))
    limit.add(step(a=failing(1)))
    for _ in range(9):
        limit.add(step(a=failing(1)))


def test_tasks_and_components_are_counted_separately():
    limit = UndefinedLimit(0.02)
    for _ in range(10):
        limit.add(step(a=failing(1), b=failing(1, "sandbox")))
    limit.add(step(a=failing(1, "format")))
    with pytest.raises(RewardError, match="reward 'sandbox' of task 'b'"):
        limit.add(step(b=failing(1, "sandbox")))
