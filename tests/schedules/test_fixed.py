"""Fixed schedules: disjoint batches, full coverage per epoch, exact shares, reproducible values."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnithinker.errors import BadInput
from omnithinker.schedules.base import count_tasks
from omnithinker.schedules.curriculum import curriculum_batches
from omnithinker.schedules.joint import joint_batches
from omnithinker.schedules.mixture import mixture_batches

sizes_of = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 20), min_size=1)


@given(sizes_of, st.integers(1, 7), st.integers(1, 3), st.integers(0, 100))
def test_joint_covers_every_prompt_once_per_epoch(sizes, prompts_per_step, epochs, seed):
    batches = joint_batches(sizes, prompts_per_step=prompts_per_step, epochs=epochs, seed=seed)
    seen = Counter((i.task, i.index, i.epoch) for batch in batches for i in batch)
    assert seen == Counter({(t, i, e): 1 for t, n in sizes.items() for i in range(n) for e in range(epochs)})
    assert all(1 <= len(batch) <= prompts_per_step for batch in batches)
    assert batches == joint_batches(sizes, prompts_per_step=prompts_per_step, epochs=epochs, seed=seed)


@given(sizes_of, st.integers(1, 7), st.integers(1, 3), st.integers(0, 100), st.randoms())
def test_curriculum_is_pure_ordered_and_complete(sizes, prompts_per_step, epochs, seed, random):
    order = list(sizes)
    random.shuffle(order)
    batches = curriculum_batches(sizes, order, prompts_per_step=prompts_per_step, epochs=epochs, seed=seed)
    assert all(len({item.task for item in batch}) == 1 for batch in batches)
    tasks = [batch[0].task for batch in batches]
    assert [t for k, t in enumerate(tasks) if k == 0 or tasks[k - 1] != t] == order
    seen = Counter((i.task, i.index, i.epoch) for batch in batches for i in batch)
    assert seen == Counter({(t, i, e): 1 for t, n in sizes.items() for i in range(n) for e in range(epochs)})


def test_a_curriculum_is_its_single_task_schedules_in_sequence():
    sizes = {"a": 5, "b": 7}
    settings = {"prompts_per_step": 3, "epochs": 2, "seed": 4}
    whole = curriculum_batches(sizes, ["b", "a"], **settings)
    assert whole == curriculum_batches(sizes, ["b"], **settings) + curriculum_batches(sizes, ["a"], **settings)


@given(sizes_of, st.data(), st.integers(1, 7), st.integers(1, 3), st.integers(0, 100))
def test_mixture_keeps_shares_and_repeats_no_prompt_within_a_pass(sizes, data, prompts_per_step, epochs, seed):
    shares = {task: data.draw(st.sampled_from([0.5, 1.0, 2.0, 3.7])) for task in sizes}
    settings = {"prompts_per_step": prompts_per_step, "epochs": epochs, "seed": seed}
    batches = mixture_batches(sizes, shares, **settings)
    assert [len(batch) for batch in batches[:-1]] == [prompts_per_step] * (len(batches) - 1)
    assert sum(map(len, batches)) == epochs * sum(sizes.values())
    consumed: Counter[str] = Counter()
    for batch in batches:
        consumed += count_tasks(batch)
        for task, share in shares.items():
            exact = share / sum(shares.values()) * consumed.total()
            assert exact - len(sizes) + 1 - 1e-6 <= consumed[task] < exact + 1 + 1e-6
    seen = Counter((i.task, i.index, i.epoch) for batch in batches for i in batch)
    assert set(seen.values()) == {1}
    for task, size in sizes.items():
        passes = Counter(epoch for t, _, epoch in seen if t == task)
        assert all(passes[epoch] == size for epoch in range(max(passes, default=0)))
    assert batches == mixture_batches(sizes, shares, **settings)


def test_a_mixture_by_hand():
    batches = mixture_batches({"a": 6, "b": 6}, {"a": 3.0, "b": 1.0}, prompts_per_step=6, epochs=1, seed=0)
    # 4.5 and 1.5 prompts a step: the half is carried over.
    assert [count_tasks(batch) for batch in batches] == [{"a": 5, "b": 1}, {"a": 4, "b": 2}]


def test_a_task_meets_its_prompts_in_the_order_of_its_single_task_run():
    sizes, settings = {"a": 5, "b": 7}, {"prompts_per_step": 4, "seed": 3}
    alone = [item for batch in curriculum_batches(sizes, ["b"], epochs=2, **settings) for item in batch]
    mixed = mixture_batches(sizes, {"a": 1.0, "b": 2.0}, epochs=1, **settings)
    met = [{item for item in batch if item.task == "b"} for batch in mixed]
    for items in met:
        assert items == set(alone[: len(items)])
        alone = alone[len(items) :]


def written(batches):
    return [" ".join(f"{item.task}{item.index}.{item.epoch}" for item in batch) for batch in batches]


def test_batches_never_change():
    """Data order is part of a run's numbers: these values hold on every machine and in every version."""
    sizes, settings = {"a": 5, "b": 3}, {"prompts_per_step": 3, "epochs": 2, "seed": 7}
    assert written(joint_batches(sizes, **settings)) == [
        "a0.0 a3.0 a1.0",
        "b1.0 a2.0 b2.0",
        "b0.0 a4.0",
        "a4.1 a3.1 a1.1",
        "b2.1 a0.1 a2.1",
        "b0.1 b1.1",
    ]
    assert written(curriculum_batches(sizes, ["b", "a"], **settings)) == [
        "b2.0 b1.0 b0.0",
        "b1.1 b0.1 b2.1",
        "a2.0 a0.0 a1.0",
        "a4.0 a3.0",
        "a1.1 a0.1 a3.1",
        "a4.1 a2.1",
    ]
    assert written(mixture_batches(sizes, {"a": 1.0, "b": 2.0}, **settings)) == [
        "a2.0 b1.0 b2.0",
        "a0.0 b0.0 b1.1",
        "b2.1 b0.1 a1.0",
        "b0.2 a4.0 b2.2",
        "a3.0 b2.3 b1.2",
        "b0.3",
    ]


def test_seed_changes_the_order():
    first, second = (joint_batches({"a": 30}, prompts_per_step=5, epochs=1, seed=s) for s in (0, 1))
    assert first != second


def test_unknown_task_is_named():
    with pytest.raises(BadInput, match="no task 'c'; known: a"):
        curriculum_batches({"a": 1}, ["c"], prompts_per_step=1, epochs=1, seed=0)
