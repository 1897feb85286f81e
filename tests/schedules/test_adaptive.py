"""The adaptive schedule: shares follow accuracy as its settings say, and its state is all there is to it."""

from __future__ import annotations

import json

import pytest

from omnithinker.config.adaptive import AdaptiveSettings
from omnithinker.schedules.adaptive import AdaptiveSchedule
from omnithinker.schedules.fixed import mixture_schedule, tasks_of
from tests.builders.metrics import accuracies


def schedule_of(sizes=None, shares=None, max_steps=None, epochs=5, **settings) -> AdaptiveSchedule:
    sizes = sizes or {"a": 40, "b": 40}
    return AdaptiveSchedule(
        sizes=sizes,
        shares=shares or dict.fromkeys(sizes, 1.0),
        settings=AdaptiveSettings(**settings),
        prompts_per_step=8,
        epochs=epochs,
        seed=0,
        max_steps=max_steps,
    )


def follow(schedule, accuracy, steps):
    """Batches and states of a run in which ``accuracy(task, step)`` is observed for the tasks of each batch."""
    state, batches, states = schedule.start(), [], [schedule.start()]
    for step in range(steps):
        batches.append(schedule.batch(step, state))
        state = schedule.after(step, state, accuracies(step, {t: accuracy(t, step) for t in tasks_of(batches[-1])}))
        states.append(state)
    return batches, states


def test_uncertain_tasks_get_more():
    schedule = schedule_of(min_share=0.2)
    batches, states = follow(schedule, lambda task, step: {"a": 0.5, "b": 1.0}[task], 6)
    assert tasks_of(batches[0]) == {"a": 4, "b": 4}
    # Scores 1 and 0, so the shares are 1 : 0.2.
    assert schedule.shares_now(states[1]) == pytest.approx({"a": 1 / 1.2, "b": 0.2 / 1.2})
    assert tasks_of(batches[1])["a"] == 7


def test_the_score_is_largest_at_one_half_and_even_on_both_sides():
    def share_of_a(accuracy):
        schedule = schedule_of(min_share=0.1)
        _, states = follow(schedule, lambda task, step: accuracy if task == "a" else 0.5, 1)
        return schedule.shares_now(states[-1])["a"]

    assert share_of_a(0.5) == 0.5
    assert share_of_a(0.3) == pytest.approx(share_of_a(0.7))
    assert share_of_a(0.0) < share_of_a(0.3) < share_of_a(0.4) < 0.5


@pytest.mark.parametrize("direction", [1, -1])
def test_changing_tasks_get_more(direction):
    def accuracy(task, step):
        return 0.5 + direction * 0.05 * step if task == "a" else 0.5

    schedule = schedule_of(criterion="progress", ema_steps=3, min_share=0.25)
    _, states = follow(schedule, accuracy, 6)
    assert schedule.shares_now(states[1]) == {"a": 0.5, "b": 0.5}  # nothing has changed yet
    assert schedule.shares_now(states[-1]) == pytest.approx({"a": 1 / 1.25, "b": 0.25 / 1.25})


def test_memory_says_how_fast_shares_follow():
    def after_a_fall(memory):
        schedule = schedule_of(ema_steps=memory)
        _, states = follow(schedule, lambda task, step: 0.5 if task == "b" or step < 3 else 0.0, 6)
        return states[-1]["recent"]["a"]

    assert after_a_fall(1) == 0.0
    assert after_a_fall(4) == pytest.approx(0.5 * 0.75**3)


def test_with_all_kept_it_is_the_mixture():
    sizes, shares = {"a": 10, "b": 30}, {"a": 3.0, "b": 1.0}
    schedule = schedule_of(sizes, shares, epochs=1, min_share=1.0)
    batches, _ = follow(schedule, lambda task, step: float(task == "a"), len(schedule))
    assert batches == mixture_schedule(sizes, shares, prompts_per_step=8, epochs=1, seed=0)


def test_undefined_accuracy_teaches_nothing():
    _, states = follow(schedule_of(), lambda task, step: None if task == "a" else 0.25, 2)
    assert states[-1]["recent"] == {"b": 0.25}


def test_max_steps():
    assert len(schedule_of()) == 50
    assert len(schedule_of(max_steps=7)) == 7


def test_it_goes_on_from_its_state_as_read_from_a_file():
    def accuracy(task, step):
        return 1 / (step + (3 if task == "a" else 1.5))

    batches, states = follow(schedule_of(), accuracy, 30)
    for step in (1, 9, 29):
        state = json.loads(json.dumps(states[step]))
        assert state == states[step]
        assert schedule_of().batch(step, state) == batches[step]
