"""Composition of rewards (A.1), owners of failures, functions written for other trainers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnithinker.config.recipe import Recipe
from omnithinker.config.rewards import parse_reward
from omnithinker.errors import BadInput, DataError, RewardError
from omnithinker.rewards.base import Component, combine
from omnithinker.rewards.components import build_components, check_row
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.runner import Scorer
from omnithinker.types import Prompt, RolloutGroup, Trajectory, Undefined

PROMPT = Prompt(task="t", index=4, text="q", row={"solution": "x", "reward_model": {"ground_truth": "gold"}})
PAIR = (Trajectory(text="a"), Trajectory(text="bb"))


class Fixed:
    def __init__(self, *values):
        self.values = values

    def score_group(self, prompt, completions):
        return list(self.values)


class Slow(Fixed):
    async def score_group(self, prompt, completions):
        await asyncio.sleep(0)
        return list(self.values)


def score(*components: Component):
    with Scorer({"t": components}) as scorer:
        return scorer.submit(RolloutGroup(prompt=PROMPT, trajectories=PAIR)).result().scores


def test_weights_are_used_as_written():
    scores = score(
        Component("main", Slow(1.0, 0.0), 0.9, True),
        Component("format", Fixed(1.0, 0.5), 0.2, False),
    )
    assert [s.reward for s in scores] == pytest.approx([1.1, 0.1])
    assert [s.correct for s in scores] == [1.0, 0.0]


def test_undefined_component_is_left_out_of_the_sum_and_names_its_cause():
    scores = score(
        Component("main", Fixed(1.0, 1.0), 1.0, True),
        Component("judge", Fixed(Undefined("judge_failed"), None), 0.5, False),
    )
    assert [s.reward for s in scores] == [1.0, 1.0]
    assert [dict(s.causes) for s in scores] == [{"judge": "judge_failed"}, {"judge": "undefined"}]
    assert scores[0].components == {"main": 1.0, "judge": None}


def test_without_a_defined_primary_component_the_completion_is_undefined():
    scores = score(
        Component("main", Fixed(Undefined("crashed"), 0.0), 1.0, True),
        Component("format", Fixed(1.0, 1.0), 0.2, False),
    )
    assert [s.reward for s in scores] == [None, 0.2]
    assert [s.correct for s in scores] == [None, 0.0]


def test_two_primary_components_average_into_correctness():
    one = combine([Component("a", Fixed(), 1.0, True), Component("b", Fixed(), 0.5, True)], [1.0, 0.0])
    assert (one.reward, one.correct) == (1.0, 0.5)
    two = combine([Component("a", Fixed(), 1.0, True), Component("b", Fixed(), 0.5, True)], [1.0, None])
    assert (two.reward, two.correct) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1.0,), "returned 1 values for 2 completions"),
        ((1.0, float("nan")), "returned nan; expected a finite number"),
        ((1.0, "0"), "returned '0'; expected a finite number"),
        ((1.0, [0.5]), r"returned \[0.5\]; expected a finite number"),
    ],
)
def test_answers_that_are_no_rewards_have_an_owner(values, message):
    with pytest.raises(RewardError, match=f"reward 'main' of task 't' {message}"):
        score(Component("main", Fixed(*values), 1.0, True))


def test_what_the_user_can_mend_passes_unchanged():
    class WrongKey:
        def score_group(self, prompt, completions):
            raise BadInput("the key in MY_KEY is refused")

    with pytest.raises(BadInput, match=r"^the key in MY_KEY is refused$"):
        score(Component("judge", WrongKey(), 1.0, True))


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.booleans(), st.none() | st.just(Undefined("down")) | st.floats(0, 1)),
        min_size=1,
        max_size=5,
    )
)
def test_every_combination_of_undefined_components(parts):
    components = [Component(f"c{place}", Fixed(), weight, primary) for place, (weight, primary, _) in enumerate(parts)]
    result = combine(components, [value for *_, value in parts])
    defined = [part for part in parts if isinstance(part[2], float)]
    primary = [value for _, is_primary, value in defined if is_primary]
    assert result.reward == (pytest.approx(sum(weight * value for weight, _, value in defined)) if primary else None)
    assert result.correct == (pytest.approx(sum(primary) / len(primary)) if primary else None)
    assert result.components == {
        f"c{place}": value if isinstance(value, float) else None for place, (*_, value) in enumerate(parts)
    }
    assert result.causes == {
        f"c{place}": "undefined" if value is None else "down"
        for place, (*_, value) in enumerate(parts)
        if not isinstance(value, float)
    }


class Raises:
    def score_group(self, prompt, completions):
        raise KeyError("nothing")


class HalfFails(Fixed):
    def score_group(self, prompt, completions):
        return [1.0, TimeoutError("no reply")]


@pytest.mark.parametrize(
    ("reward", "causes", "message"),
    [
        (Raises(), ["raised_KeyError"] * 2, "failed on row 4: KeyError: 'nothing'"),
        (HalfFails(), [None, "raised_TimeoutError"], "failed on row 4: TimeoutError: no reply"),
        (Fixed(1.0), ["wrong_length"] * 2, "returned 1 values for 2 completions"),
        (Fixed(float("nan"), 0.0), ["not_a_number", None], "returned nan; expected a finite number"),
        (Fixed(0.0, "1"), [None, "not_a_number"], "returned '1'; expected a finite number"),
        (Fixed(float("inf"), 0.0), ["not_a_number", None], "returned inf; expected a finite number"),
    ],
)
def test_an_error_stops_with_its_owner_or_is_undefined_by_setting_and_never_a_number(reward, causes, message):
    with pytest.raises(RewardError, match=f"^reward 'mine' of task 't' {message}"):
        score(Component("mine", reward, 1.0, True))
    scores = score(Component("mine", reward, 1.0, True, on_error="undefined"), Component("b", Fixed(1, 1), 0.1, False))
    assert [s.causes.get("mine") for s in scores] == causes
    assert [s.reward is None for s in scores] == [cause is not None for cause in causes]
    told = [s.details["mine"]["undefined"] for s in scores if s.reward is None]
    assert told
    assert all(message in text for text in told)


def test_what_the_user_can_mend_stops_the_run_under_any_setting():
    class WrongKeyForOne:
        def score_group(self, prompt, completions):
            return [1.0, BadInput("the key in MY_KEY is refused")]

    with pytest.raises(BadInput, match=r"^the key in MY_KEY is refused$"):
        score(Component("judge", WrongKeyForOne(), 1.0, True, on_error="undefined"))


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("math_answer", {"anser": "1"}, r"f:1: no field 'answer' \(fields: anser\)"),
        ("math_answer", {"answer": ["1"]}, "f:1: field 'answer' must be text or a number, got a list"),
        ("short_answer", {}, r"f:1: no field 'answer' or 'answers' \(fields: none\)"),
        ("pairwise_judge", {"reference": 3}, "field 'reference' must be text, got a number"),
        ("unit_tests", {"tests": "{"}, "f:1: field 'tests': "),
    ],
)
def test_rows_are_checked_before_training(kind, row, message):
    with pytest.raises(DataError, match=message):
        check_row({kind: parse_reward({"kind": kind})}, row, "f:1")


class Hanging:
    """Does not answer until it is let go; remembers how often it was asked."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.let_go = threading.Event()

    def score_group(self, prompt, completions):
        self.asked.release()
        self.let_go.wait()
        return [1.0] * len(completions)


class HangingAsync:
    def __init__(self) -> None:
        self.cancelled = threading.Event()

    async def score_group(self, prompt, completions):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class BlocksTheLoop(Hanging):
    async def score_group(self, prompt, completions):
        return super().score_group(prompt, completions)


def causes_and_rewards(future):
    return [(dict(s.causes), s.reward) for s in future.result(timeout=60).scores]


@pytest.mark.parametrize("kind", [Hanging, HangingAsync, BlocksTheLoop])
def test_a_reward_that_hangs_is_undefined_at_its_deadline_and_the_rest_counts(kind):
    hanging = kind()
    components = (
        Component("stuck", hanging, 1.0, False, deadline_s=0.05),
        Component("main", Fixed(1.0, 0.0), 1.0, True),
    )
    with Scorer({"t": components}) as scorer:
        future = scorer.submit(RolloutGroup(prompt=PROMPT, trajectories=PAIR))
        assert causes_and_rewards(future) == [({"stuck": "deadline"}, 1.0), ({"stuck": "deadline"}, 0.0)]
    if isinstance(hanging, HangingAsync):
        assert hanging.cancelled.wait(60)
    else:
        hanging.let_go.set()


def test_rewards_left_behind_take_no_place_from_later_groups():
    hanging = Hanging()
    components = {
        "t": [Component("main", hanging, 1.0, True, deadline_s=2.0)],
        "u": [Component("main", Fixed(1.0, 0.0), 1.0, True)],
    }
    with Scorer(components, threads=1) as scorer:
        stuck = scorer.submit(RolloutGroup(prompt=PROMPT, trajectories=PAIR))
        assert causes_and_rewards(stuck)[0] == ({"main": "deadline"}, None)
        other = replace(PROMPT, task="u")
        assert causes_and_rewards(scorer.submit(RolloutGroup(prompt=other, trajectories=PAIR)))[0] == ({}, 1.0)
        hanging.let_go.set()
        later = scorer.submit(RolloutGroup(prompt=PROMPT, trajectories=PAIR))
        assert causes_and_rewards(later)[0] == ({}, 1.0)


def test_waiting_for_a_turn_does_not_count_towards_the_deadline():
    class InTurn(Hanging):
        def score_group(self, prompt, completions):
            self.asked.release()
            if prompt.index == 0:
                self.let_go.wait()
            return [1.0] * len(completions)

    reward = InTurn()
    with Scorer({"t": [Component("main", reward, 1.0, True, deadline_s=2.0)]}, threads=1) as scorer:
        futures = [
            scorer.submit(RolloutGroup(prompt=replace(PROMPT, index=index), trajectories=PAIR)) for index in range(2)
        ]
        # The second one waits as long as the first one may work, and then has its own time.
        assert [causes_and_rewards(each)[0] for each in futures] == [({"main": "deadline"}, None), ({}, 1.0)]
        reward.let_go.set()


def test_components_of_a_group_run_side_by_side():
    together = threading.Barrier(3, timeout=60)

    class Meets:
        def score_group(self, prompt, completions):
            together.wait()
            return [1.0, 1.0]

    class MeetsAsync:
        async def score_group(self, prompt, completions):
            await asyncio.to_thread(together.wait)
            return [1.0, 1.0]

    components = [Component(name, kind(), 1.0, True) for name, kind in (("a", Meets), ("b", Meets), ("c", MeetsAsync))]
    assert [s.reward for s in score(*components)] == [3.0, 3.0]


def test_groups_are_scored_side_by_side():
    together = threading.Barrier(5, timeout=60)

    class Meets:
        def score_group(self, prompt, completions):
            together.wait()
            return [1.0, 1.0]

    with Scorer({"t": [Component("main", Meets(), 1.0, True)]}) as scorer:
        futures = [scorer.submit(RolloutGroup(prompt=PROMPT, trajectories=PAIR)) for _ in range(5)]
        assert all(causes_and_rewards(each)[0] == ({}, 1.0) for each in futures)


def test_an_error_comes_when_the_other_components_have_ended():
    broken = threading.Event()
    finished = []

    class Breaks:
        def score_group(self, prompt, completions):
            broken.set()
            raise ZeroDivisionError("oops")

    class Paid:
        async def score_group(self, prompt, completions):
            await asyncio.to_thread(broken.wait, 60)
            finished.append(True)
            return [1.0, 1.0]

    with pytest.raises(RewardError, match="reward 'a' of task 't' failed on row 4: ZeroDivisionError: oops"):
        score(Component("a", Breaks(), 1.0, True), Component("b", Paid(), 1.0, True))
    assert finished == [True]


def test_a_reward_that_raises_a_timeout_of_its_own_is_an_error():
    class TimesOut:
        def score_group(self, prompt, completions):
            raise TimeoutError("their server")

    with pytest.raises(RewardError, match="TimeoutError: their server"):
        score(Component("main", TimesOut(), 1.0, True, deadline_s=60.0))


def test_the_process_ends_although_a_reward_hangs():
    code = """
import threading
from omnithinker.rewards.base import Component
from omnithinker.rewards.runner import Scorer
from omnithinker.types import Trajectory, Prompt, RolloutGroup

class Hanging:
    def score_group(self, prompt, completions):
        threading.Event().wait()

class HangingAsync:
    async def score_group(self, prompt, completions):
        threading.Event().wait()

for reward in (Hanging(), HangingAsync()):
    with Scorer({"t": [Component("main", reward, 1.0, True, deadline_s=0.05)]}) as scorer:
        group = RolloutGroup(prompt=Prompt(task="t", index=0, text=""), trajectories=(Trajectory(text=""),))
        print(scorer.submit(group).result().scores[0].causes["main"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["deadline", "deadline"])


@pytest.mark.parametrize(
    ("name", "settings", "seconds"),
    [
        ("mine", {"kind": "python:tests.rewards.test_runner:of_trl"}, 300.0),
        ("mine", {"kind": "python:tests.rewards.test_runner:of_trl", "deadline_s": 7}, 7.0),
        ("short_answer", {"kind": "short_answer"}, 3600.0),
        ("short_answer", {"kind": "short_answer", "deadline_s": 9}, 9.0),
    ],
)
def test_deadlines_come_from_the_recipe(name, settings, seconds):
    recipe = Recipe.model_validate({"tasks": {"t": {"data": "lab:qa", "rewards": {"short_answer": 1.0}}}})
    with Resources(recipe) as resources:
        (component,) = build_components("t", {name: parse_reward(settings)}, resources)
    assert component.deadline_s == seconds


def of_trl(completions, **kwargs):
    return [0.0 for _ in completions]
