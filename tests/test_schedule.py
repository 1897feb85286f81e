"""Schedules are disjoint, cover everything once per epoch, are pure where promised, and reproducible."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnithinker.errors import BadInput
from omnithinker.schedule import curriculum_schedule, joint_schedule

sizes_of = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 20), min_size=1)


@given(sizes_of, st.integers(1, 7), st.integers(1, 3), st.integers(0, 100))
def test_joint_covers_every_prompt_once_per_epoch(sizes, prompts_per_step, epochs, seed):
    batches = joint_schedule(sizes, prompts_per_step=prompts_per_step, epochs=epochs, seed=seed)
    seen = Counter((i.task, i.index, i.epoch) for batch in batches for i in batch)
    assert seen == Counter({(t, i, e): 1 for t, n in sizes.items() for i in range(n) for e in range(epochs)})
    assert all(1 <= len(batch) <= prompts_per_step for batch in batches)
    assert batches == joint_schedule(sizes, prompts_per_step=prompts_per_step, epochs=epochs, seed=seed)


@given(sizes_of, st.integers(1, 7), st.integers(1, 3), st.integers(0, 100), st.randoms())
def test_curriculum_is_pure_ordered_and_complete(sizes, prompts_per_step, epochs, seed, random):
    order = list(sizes)
    random.shuffle(order)
    batches = curriculum_schedule(sizes, order, prompts_per_step=prompts_per_step, epochs=epochs, seed=seed)
    assert all(len({item.task for item in batch}) == 1 for batch in batches)
    tasks = [batch[0].task for batch in batches]
    assert [t for k, t in enumerate(tasks) if k == 0 or tasks[k - 1] != t] == order
    seen = Counter((i.task, i.index, i.epoch) for batch in batches for i in batch)
    assert seen == Counter({(t, i, e): 1 for t, n in sizes.items() for i in range(n) for e in range(epochs)})


def test_a_curriculum_is_its_single_task_schedules_in_sequence():
    sizes = {"a": 5, "b": 7}
    settings = {"prompts_per_step": 3, "epochs": 2, "seed": 4}
    whole = curriculum_schedule(sizes, ["b", "a"], **settings)
    assert whole == curriculum_schedule(sizes, ["b"], **settings) + curriculum_schedule(sizes, ["a"], **settings)


def test_seed_changes_the_order():
    first, second = (joint_schedule({"a": 30}, prompts_per_step=5, epochs=1, seed=s) for s in (0, 1))
    assert first != second


def test_unknown_task_is_named():
    with pytest.raises(BadInput, match="no task 'c'; known: a"):
        curriculum_schedule({"a": 1}, ["c"], prompts_per_step=1, epochs=1, seed=0)
