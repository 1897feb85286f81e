"""The preference reward: order of the pair, candidate text, undefined verdicts."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from omnithinker.errors import JudgeError, OmniThinkerError
from omnithinker.judge.base import BudgetSpent, JudgeFailed, Verdict
from omnithinker.rewards.base import Component, combine
from omnithinker.rewards.pairwise_judge import PairwiseJudge, candidate_first
from omnithinker.types import Prompt, RewardOutput, Trajectory, Undefined, Value


class LongerWins:
    """Prefers the longer text; remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str, str, int]] = []

    async def compare(
        self, *, request: str, answer_a: str, answer_b: str, row: Mapping[str, Any], trial: int = 0
    ) -> Verdict:
        self.shown.append((request, answer_a, answer_b, trial))
        if len(answer_a) == len(answer_b):
            return Verdict.TIE
        return Verdict.A if len(answer_a) > len(answer_b) else Verdict.B


class Always:
    """Says the same whatever it sees; an exception is raised."""

    def __init__(self, outcome: Verdict | OmniThinkerError) -> None:
        self.outcome = outcome

    async def compare(self, **_: Any) -> Verdict:
        if isinstance(self.outcome, OmniThinkerError):
            raise self.outcome
        return self.outcome


ROW = {"prompt": "Tell a story.", "reference": "12345"}


def explained(reward: PairwiseJudge, *texts: str, row: Mapping[str, Any] = ROW) -> list[RewardOutput]:
    group = [Trajectory(text=text, seed=seed) for seed, text in enumerate(texts)]
    return asyncio.run(reward.score_group(Prompt(task="w", index=0, text="rendered", row=row), group))


def score(reward: PairwiseJudge, *texts: str, row: Mapping[str, Any] = ROW) -> list[Value | None]:
    return [answer.value for answer in explained(reward, *texts, row=row)]


@pytest.mark.parametrize("order", ["random", "both", "fixed"])
def test_preferred_tie_dispreferred_in_every_order(order: Any) -> None:
    reward = PairwiseJudge(LongerWins(), order)
    assert score(reward, "1234567", "12345", "123", *["123456"] * 20) == [1, 0.5, 0] + [1] * 20


@pytest.mark.parametrize(("verdict", "fixed"), [(Verdict.A, 1.0), (Verdict.B, 0.0), (Verdict.TIE, 0.5)])
def test_a_judge_that_looks_at_the_place_only(verdict: Verdict, fixed: float) -> None:
    judge = Always(verdict)
    assert score(PairwiseJudge(judge, "fixed"), "x", "y") == [fixed, fixed]
    assert score(PairwiseJudge(judge, "both"), "x", "y") == [0.5, 0.5]
    values = score(PairwiseJudge(judge, "random"), *["x"] * 400)
    assert 0.4 < sum(float(value) for value in values if isinstance(value, float)) / 400 < 0.6


def test_random_order_is_a_fair_coin_of_the_seed() -> None:
    seeds = range(10_000)
    assert 4800 < sum(candidate_first(seed) for seed in seeds) < 5200
    neighbours = sum(candidate_first(seed) == candidate_first(seed + 1) for seed in seeds)
    assert 4800 < neighbours < 5200
    assert candidate_first(2**63 + 12345) == candidate_first(2**63 + 12345)


def test_what_the_judge_is_shown() -> None:
    judge = LongerWins()
    texts = ["<think>plan</think><answer>story</answer>", "<think>plan</think> bare story", "<think>no end"]
    assert score(PairwiseJudge(judge, "fixed"), *texts) == [0.5, 1, 0]
    assert judge.shown == [("Tell a story.", "story", "12345", 0), ("Tell a story.", "bare story", "12345", 1)]
    score(PairwiseJudge(judge, "fixed"), "x", row={"reference": "y"})
    assert judge.shown[-1][0] == "rendered"


def test_empty_candidates_are_dispreferred_without_a_call() -> None:
    judge = LongerWins()
    assert score(PairwiseJudge(judge), "", " \n", "<answer> </answer>", "<think>a</think>") == [0, 0, 0, 0]
    assert judge.shown == []


def test_both_orders_ask_twice() -> None:
    judge = LongerWins()
    score(PairwiseJudge(judge, "both"), "x")
    assert sorted(shown[1:3] for shown in judge.shown) == [("12345", "x"), ("x", "12345")]


@pytest.mark.parametrize("order", ["random", "both", "fixed"])
@pytest.mark.parametrize(
    ("error", "cause"), [(JudgeFailed("judge_timeout", "late"), "judge_timeout"), (JudgeError("no"), "judge_failed")]
)
def test_no_verdict_is_undefined_with_its_cause(order: Any, error: JudgeError, cause: str) -> None:
    (value,) = score(PairwiseJudge(Always(error), order), "x")
    assert isinstance(value, Undefined)
    assert value.cause == cause


def test_a_spent_budget_is_not_swallowed() -> None:
    with pytest.raises(BudgetSpent):
        score(PairwiseJudge(Always(BudgetSpent("spent"))), "x")


def test_undefined_verdicts_leave_the_reward_undefined_and_keep_the_rest() -> None:
    components = [
        Component("pairwise_judge", PairwiseJudge(Always(Verdict.A)), 1.0, True),
        Component("format", PairwiseJudge(Always(Verdict.A)), 0.2, False),
    ]
    scored = combine(components, [Undefined("judge_down"), 1.0])
    assert (scored.reward, scored.correct) == (None, None)
    assert scored.components == {"pairwise_judge": None, "format": 1.0}
    assert scored.causes == {"pairwise_judge": "judge_down"}
    assert combine(components, [0.5, 1.0]).reward == pytest.approx(0.7)


def test_values_come_with_the_lengths_of_what_was_compared() -> None:
    texts = ["<think>a long plan</think><answer>story</answer>", "a longer story", ""]
    lengths = [dict(answer.details) for answer in explained(PairwiseJudge(Always(JudgeError("no"))), *texts)]
    assert lengths == [{"candidate_chars": count, "reference_chars": 5} for count in (5, 14, 0)]


@pytest.mark.parametrize(
    ("prompt", "request_shown"), [("Tell a story.", "Tell a story."), ([{"role": "user"}], "rendered")]
)
def test_the_judge_reads_the_rows_text_or_the_last_user_message(prompt: Any, request_shown: str) -> None:
    judge = LongerWins()
    score(PairwiseJudge(judge, "fixed"), "123456", row={"prompt": prompt, "reference": "12345"})
    assert judge.shown[0][0] == request_shown
