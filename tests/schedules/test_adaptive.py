"""Adaptive mixture: shares follow accuracy by its settings, and the state determines everything."""

from __future__ import annotations

import json

import pytest

from omnithinker.io.step_metrics import Seconds, StepMetrics, TaskMetrics
from omnithinker.schedules.adaptive import Adaptive, AdaptiveSettings
from omnithinker.schedules.base import ScheduleInputs, count_tasks
from omnithinker.schedules.mixture import mixture_batches


def schedule_of(sizes=None, shares=None, max_steps=None, epochs=5, prompts_per_step=8, seed=0, **settings) -> Adaptive:
    sizes = sizes or {"a": 40, "b": 40}
    inputs = ScheduleInputs(
        sizes=sizes,
        shares=shares or dict.fromkeys(sizes, 1.0),
        prompts_per_step=prompts_per_step,
        epochs=epochs,
        seed=seed,
        max_steps=max_steps,
    )
    return Adaptive.build(inputs, AdaptiveSettings(**settings))


def follow(schedule, accuracy, steps):
    """Return batches and states of a run that measures ``accuracy(task, step)`` for the tasks of each batch."""
    state, batches, states = schedule.initial_state(), [], [schedule.initial_state()]
    for step in range(steps):
        batches.append(schedule.batch(step, state))
        tasks = {task: TaskMetrics(accuracy=accuracy(task, step)) for task in count_tasks(batches[-1])}
        metrics = StepMetrics(step=step + 1, tokens=0, seconds=Seconds(0.0, 0.0, 0.0), tasks=tasks)
        state = schedule.after(step, state, metrics)
        states.append(state)
    return batches, states


def test_uncertain_tasks_get_more():
    schedule = schedule_of(min_share=0.2)
    batches, states = follow(schedule, lambda task, step: {"a": 0.5, "b": 1.0}[task], 6)
    assert count_tasks(batches[0]) == {"a": 4, "b": 4}
    # Scores 1 and 0, so the shares are 1 : 0.2.
    assert schedule.current_shares(states[1]) == pytest.approx({"a": 1 / 1.2, "b": 0.2 / 1.2})
    assert count_tasks(batches[1])["a"] == 7


def test_the_score_is_largest_at_one_half_and_even_on_both_sides():
    def share_of_a(accuracy):
        schedule = schedule_of(min_share=0.1)
        _, states = follow(schedule, lambda task, step: accuracy if task == "a" else 0.5, 1)
        return schedule.current_shares(states[-1])["a"]

    assert share_of_a(0.5) == 0.5
    assert share_of_a(0.3) == pytest.approx(share_of_a(0.7))
    assert share_of_a(0.0) < share_of_a(0.3) < share_of_a(0.4) < 0.5


@pytest.mark.parametrize("direction", [1, -1])
def test_changing_tasks_get_more(direction):
    def accuracy(task, step):
        return 0.5 + direction * 0.05 * step if task == "a" else 0.5

    schedule = schedule_of(criterion="progress", ema_steps=3, min_share=0.25)
    _, states = follow(schedule, accuracy, 6)
    assert schedule.current_shares(states[1]) == {"a": 0.5, "b": 0.5}  # no change so far
    assert schedule.current_shares(states[-1]) == pytest.approx({"a": 1 / 1.25, "b": 0.25 / 1.25})


def test_ema_steps_sets_the_speed_of_shares():
    def after_a_fall(ema_steps):
        schedule = schedule_of(ema_steps=ema_steps)
        _, states = follow(schedule, lambda task, step: 0.5 if task == "b" or step < 3 else 0.0, 6)
        return states[-1]["accuracy"]["a"]

    assert after_a_fall(1) == 0.0
    assert after_a_fall(4) == pytest.approx(0.5 * 0.75**3)


def test_min_share_1_is_the_mixture():
    sizes, shares = {"a": 10, "b": 30}, {"a": 3.0, "b": 1.0}
    schedule = schedule_of(sizes, shares, epochs=1, min_share=1.0)
    batches, _ = follow(schedule, lambda task, step: float(task == "a"), len(schedule))
    assert batches == mixture_batches(sizes, shares, prompts_per_step=8, epochs=1, seed=0)


def test_undefined_accuracy_changes_nothing():
    _, states = follow(schedule_of(), lambda task, step: None if task == "a" else 0.25, 2)
    assert states[-1]["accuracy"] == {"b": 0.25}


def test_max_steps():
    assert len(schedule_of()) == 50
    assert len(schedule_of(max_steps=7)) == 7


def test_it_resumes_from_its_state_as_read_from_a_file():
    def accuracy(task, step):
        return 1 / (step + (3 if task == "a" else 1.5))

    batches, states = follow(schedule_of(), accuracy, 30)
    for step in (1, 9, 29):
        state = json.loads(json.dumps(states[step]))
        assert state == states[step]
        assert schedule_of().batch(step, state) == batches[step]


VARIANCE = (
    ["a2.0 b1.0 b2.0", "a0.0 a1.0 b0.0", "b0.1 b1.1 a4.0", "b2.1 a3.0 a1.1", "a0.1 b0.2 b2.2", "a3.1"],
    {
        "consumed": {"a": 8, "b": 8},
        "credit": {"a": -0.160068412352542, "b": 0.1600684123525421},
        "accuracy": {"a": 0.22676856750930824, "b": 0.9},
        "trend": {"a": 0.31527859429093996, "b": 0.9},
    },
)
PROGRESS = (
    ["a2.0 b1.0 b2.0", "a0.0 b0.0 b1.1", "a3.0 a4.0 a1.0", "b0.1 a1.1 a0.1", "a3.1 a2.1 a4.1", "b2.1"],
    {
        "consumed": {"a": 10, "b": 6},
        "credit": {"a": 0.33333333333333337, "b": -0.33333333333333326},
        "accuracy": {"a": 0.26872427983539093, "b": 0.9},
        "trend": {"a": 0.35953360768175585, "b": 0.9},
    },
)


@pytest.mark.parametrize(("criterion", "expected"), [("variance", VARIANCE), ("progress", PROGRESS)])
def test_batches_and_state_never_change(criterion, expected):
    schedule = schedule_of(
        {"a": 5, "b": 3},
        {"a": 1.0, "b": 2.0},
        epochs=2,
        prompts_per_step=3,
        seed=7,
        criterion=criterion,
        ema_steps=3,
        min_share=0.1,
    )
    batches, states = follow(schedule, lambda task, step: 1 / (step + 2) if task == "a" else 0.9, len(schedule))
    written = [" ".join(f"{item.task}{item.index}.{item.epoch}" for item in batch) for batch in batches]
    assert (written, dict(states[-1])) == expected
