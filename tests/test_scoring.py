"""Composition of rewards (A.1), owners of failures, functions written for other trainers."""

from __future__ import annotations

import asyncio
import sys
import types

import pytest

from omnithinker.errors import BadInput, DataError, RecipeError, RewardError
from omnithinker.recipe import RewardSettings
from omnithinker.rewards.base import Component, combine
from omnithinker.rewards.external import load_external
from omnithinker.rewards.registry import check_row
from omnithinker.scoring import Scorer
from omnithinker.types import Completion, Prompt, RolloutGroup, Undefined

PROMPT = Prompt(task="t", index=4, text="q", row={"solution": "x", "reward_model": {"ground_truth": "gold"}})
PAIR = (Completion(text="a"), Completion(text="bb"))


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
        return scorer.submit(RolloutGroup(prompt=PROMPT, completions=PAIR)).result().scores


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


@pytest.fixture
def functions(monkeypatch):
    module = types.ModuleType("their_rewards")

    def trl(prompts, completions, solution, **kwargs):
        return [None if c == "a" else float(s == "x") for c, s in zip(completions, solution, strict=True)]

    async def trl_async(completions, **kwargs):
        await asyncio.sleep(0)
        return [float(len(c)) for c in completions]

    def compute_score(data_source, solution_str, ground_truth, extra_info=None):
        return {"score": 0.5, "x": 1} if solution_str == "a" else float(ground_truth == "gold")

    module.trl, module.trl_async, module.compute_score, module.odd = trl, trl_async, compute_score, lambda x: x
    monkeypatch.setitem(sys.modules, "their_rewards", module)


@pytest.mark.usefixtures("functions")
def test_trl_and_verl_functions_score_as_they_do_there():
    def rewards(name):
        return [s.reward for s in score(Component("r", load_external(f"their_rewards:{name}", "here"), 1.0, True))]

    assert rewards("trl") == [None, 1.0]
    assert rewards("trl_async") == [1.0, 2.0]
    assert rewards("compute_score") == [0.5, 1.0]


@pytest.mark.usefixtures("functions")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("their_rewards:nothing", "cannot import"),
        ("no_such_module:f", "cannot import"),
        ("their_rewards:odd", "takes neither"),
    ],
)
def test_functions_that_cannot_be_used_are_named(path, message):
    with pytest.raises(RecipeError, match=f"here: .*{message}|here: {message}"):
        load_external(path, "here")


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("math_answer", {"anser": "1"}, r"f:1: no field 'answer' \(fields: anser\)"),
        ("math_answer", {"answer": ["1"]}, "f:1: field 'answer' should be text or a number, got list"),
        ("short_answer", {}, r"f:1: no field 'answer' or 'answers' \(fields: none\)"),
        ("pairwise_judge", {"reference": 3}, "field 'reference' should be text, got int"),
        ("unit_tests", {"tests": "{"}, "f:1: field 'tests': "),
    ],
)
def test_rows_are_checked_before_training(kind, row, message):
    with pytest.raises(DataError, match=message):
        check_row({kind: RewardSettings()}, row, "f:1")
