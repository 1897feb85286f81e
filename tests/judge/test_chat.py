"""The chat judge against a scripted endpoint: faults, retries, cache, budget, rates, secrets."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.errors import BadInput, RecipeError
from omnithinker.judge import endpoint
from omnithinker.judge.base import BudgetSpent, JudgeFailed, Verdict
from omnithinker.judge.chat import ChatJudge
from omnithinker.rewards.base import Component
from omnithinker.rewards.pairwise_judge import PairwiseJudge
from omnithinker.rewards.runner import Scorer
from omnithinker.types import Prompt, RolloutGroup, Trajectory
from tests.builders.clock import Clock
from tests.builders.fake_endpoint import FakeEndpoint, Reply

KEY = "sk-very-secret-key"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", KEY)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Tries follow each other at once; gives what the endpoint asked to wait."""
    asked: list[float | None] = []
    monkeypatch.setattr(endpoint.Endpoint, "_backoff", staticmethod(lambda attempt, wait: asked.append(wait) or 0.0))
    return asked


def settings(server: FakeEndpoint, **changes: Any) -> ChatJudgeSettings:
    values = {"model": "m", "base_url": server.url, "api_key_env": "TEST_JUDGE_KEY", "timeout_s": 20.0}
    return ChatJudgeSettings(**{**values, **changes})


def ask(judge: ChatJudge, count: int = 1, trial: int = 0) -> list[Verdict | str]:
    """Verdicts of so many judgments made side by side; for a failed one, its cause."""

    async def one(number: int) -> Verdict | str:
        try:
            return await judge.compare(request="r", answer_a=f"a{number}", answer_b="b", row={}, trial=trial)
        except JudgeFailed as error:
            return f"leaked: {error}" if KEY in str(error) else error.cause

    async def everything() -> list[Verdict | str]:
        return await asyncio.gather(*(one(number) for number in range(count)))

    return asyncio.run(everything())


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("A is better. [[A]]", Verdict.A),
        ("[[B]]", Verdict.B),
        ("Equal.\n\n[[C]]\n", Verdict.TIE),
        ("First I thought [[A]].\nBut no: [[B]]", Verdict.B),
    ],
)
def test_the_last_verdict_counts(server: FakeEndpoint, text: str, verdict: Verdict) -> None:
    server.answer = lambda body: Reply(text)
    assert ask(ChatJudge(settings(server))) == [verdict]
    assert len(server.requests) == 1


def test_request_carries_model_texts_and_sampling(server: FakeEndpoint) -> None:
    ask(ChatJudge(settings(server, max_tokens=77)))
    ask(ChatJudge(settings(server, temperature="default")))
    first, second = server.requests
    assert (first["model"], first["temperature"], first["max_completion_tokens"]) == ("m", 0.4, 77)
    assert "temperature" not in second
    assert [message["role"] for message in first["messages"]] == ["system", "user"]
    user = first["messages"][1]["content"]
    assert user.index("\nr\n") < user.index("\na0\n") < user.index("\nb\n")


def test_missing_verdict_is_asked_for_once(server: FakeEndpoint) -> None:
    server.replies = [Reply("Both have merits."), Reply("[[B]]")]
    assert ask(ChatJudge(settings(server))) == [Verdict.B]
    again = server.requests[1]["messages"]
    assert [message["role"] for message in again] == ["system", "user", "assistant", "user"]
    assert again[2]["content"] == "Both have merits."


def test_two_replies_without_a_verdict_are_undefined(server: FakeEndpoint) -> None:
    server.answer = lambda body: Reply("Hard to say. [A]")
    judge = ChatJudge(settings(server))
    assert ask(judge) == ["judge_unparseable"]
    assert len(server.requests) == 2
    assert judge.usage.failures == {"judge_unparseable": 1}


FAULTS: dict[str, Callable[[], Reply]] = {
    "429": lambda: Reply("slow down", status=429),
    "500": lambda: Reply("oops", status=500),
    "503": lambda: Reply("busy", status=503),
    "dropped": lambda: Reply(drop=True),
    "truncated body": lambda: Reply(cut=40),
    "truncated JSON": lambda: Reply(raw='{"choices": [{"mess'),
    "not a completion": lambda: Reply(raw='{"hello": 1}'),
    "no choices": lambda: Reply(raw='{"choices": [], "usage": null}'),
    "a page": lambda: Reply(raw="<html>", headers={"content-type": "text/html"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_overcome(server: FakeEndpoint, no_pause: list[float | None], fault: str) -> None:
    server.replies = [FAULTS[fault](), FAULTS[fault]()]
    judge = ChatJudge(settings(server))
    assert ask(judge) == [Verdict.A]
    assert (judge.usage.calls, judge.usage.retries) == (1, 2)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("429", "judge_rate_limited"),
        ("500", "judge_down"),
        ("dropped", "judge_down"),
        ("truncated JSON", "judge_bad_response"),
        ("not a completion", "judge_bad_response"),
    ],
)
def test_a_lasting_fault_is_undefined_by_cause(
    server: FakeEndpoint, no_pause: list[float | None], fault: str, cause: str
) -> None:
    server.answer = lambda body: FAULTS[fault]()
    judge = ChatJudge(settings(server, retries=2))
    assert ask(judge) == [cause]
    assert len(server.requests) == 3
    assert judge.usage.failures == {cause: 1}


def test_nobody_listens(no_pause: list[float | None]) -> None:
    with FakeEndpoint() as gone:
        unused = settings(gone, retries=1)
    assert ask(ChatJudge(unused)) == ["judge_down"]


@pytest.mark.parametrize("reply", [Reply(hang=True), Reply(drip_s=0.05)])
def test_hanging_and_dripping_replies_end_at_the_deadline(
    server: FakeEndpoint, no_pause: list[float | None], reply: Reply
) -> None:
    server.answer = lambda body: reply
    judge = ChatJudge(settings(server, timeout_s=0.3, retries=1))
    assert ask(judge) == ["judge_timeout"]
    assert judge.usage.retries == 1
    assert ask(ChatJudge(settings(server, deadline_s=0.3))) == ["judge_timeout"]


def test_one_hanging_judgment_does_not_hold_the_others(server: FakeEndpoint) -> None:
    server.answer = lambda body: Reply(hang="\na0\n" in body["messages"][1]["content"])
    judge = ChatJudge(settings(server))

    async def ask_all() -> list[Verdict]:
        calls = [judge.compare(request="r", answer_a=f"a{number}", answer_b="b", row={}) for number in range(20)]
        hanging, *others = [asyncio.create_task(call) for call in calls]
        verdicts = await asyncio.gather(*others)
        assert not hanging.done()
        hanging.cancel()
        return verdicts

    assert asyncio.run(ask_all()) == [Verdict.A] * 19


def test_retry_after_is_honoured(server: FakeEndpoint, no_pause: list[float | None]) -> None:
    server.replies = [Reply("wait", status=429, headers={"retry-after": "7"}), Reply("wait", status=503)]
    assert ask(ChatJudge(settings(server))) == [Verdict.A]
    assert no_pause == [7.0, None]


def test_pauses_grow_and_have_jitter() -> None:
    for attempt, longest in enumerate([0.5, 1, 2, 4, 8, 8]):
        pauses = {endpoint.Endpoint._backoff(attempt, None) for _ in range(50)}
        assert len(pauses) > 1
        assert all(longest / 2 <= pause <= longest for pause in pauses)
    assert all(7 <= endpoint.Endpoint._backoff(0, 7.0) <= 7.7 for _ in range(50))


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "check"), (402, "add credit"), (403, "check"), (404, "check"), (405, "check"), (410, "check")],
)
def test_what_no_request_can_pass_stops_the_run(server: FakeEndpoint, status: int, advice: str) -> None:
    server.answer = lambda body: Reply(f"Incorrect API key provided: {KEY}", status=status)
    with pytest.raises(BadInput, match=f"{advice}.* TEST_JUDGE_KEY") as caught:
        ask(ChatJudge(settings(server)))
    assert KEY not in str(caught.value)
    assert len(server.requests) == 1


def test_a_refused_text_is_undefined_without_another_try(server: FakeEndpoint) -> None:
    server.answer = lambda body: Reply(f"content filter {KEY}", status=400)
    assert ask(ChatJudge(settings(server))) == ["judge_refused"]
    assert len(server.requests) == 1


def test_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_JUDGE_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(BadInput, match="TEST_JUDGE_KEY is not set"):
        ChatJudge(ChatJudgeSettings(model="m", api_key_env="TEST_JUDGE_KEY"))


def test_a_repeated_run_asks_nothing(server: FakeEndpoint, tmp_path: Path) -> None:
    server.answer = lambda body: Reply("[[B]]")
    server.replies = [Reply("No verdict."), Reply("[[C]]")]
    given = settings(server, cache=str(tmp_path / "new" / "replies.sqlite"), concurrency=1)
    first = ChatJudge(given)
    outcomes = ask(first, 3)
    first.close()
    assert sorted(outcomes) == [Verdict.B, Verdict.B, Verdict.TIE]
    assert len(server.requests) == 4
    second = ChatJudge(given)
    assert ask(second, 3) == outcomes
    assert (second.usage.calls, second.usage.cached) == (0, 4)
    assert len(server.requests) == 4


def test_what_changes_the_reply_changes_the_cache_key(server: FakeEndpoint, tmp_path: Path) -> None:
    cache = str(tmp_path / "replies.sqlite")
    template = tmp_path / "template.txt"
    template.write_text("[user]\nWhich? {request} {answer_a} {answer_b}")
    changes: list[dict[str, Any]] = [{}, {"temperature": 0.0}, {"model": "n"}, {"max_tokens": 5}]
    for change in [*changes, {"template": str(template)}]:
        ask(ChatJudge(settings(server, cache=cache, **change)))
    ask(ChatJudge(settings(server, cache=cache)), trial=1)
    assert len(server.requests) == 6
    ask(ChatJudge(settings(server, cache=cache, retries=9, timeout_s=9.0)))
    assert len(server.requests) == 6


def test_failures_are_not_cached(server: FakeEndpoint, tmp_path: Path) -> None:
    server.replies = [Reply(status=500)]
    judge = ChatJudge(settings(server, retries=0, cache=str(tmp_path / "replies.sqlite")))
    assert ask(judge) == ["judge_down"]
    assert ask(judge) == [Verdict.A]


def test_cache_that_cannot_be_opened_is_named(server: FakeEndpoint, tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(BadInput, match=r"replies\.sqlite"):
        ChatJudge(settings(server, cache=str(path)))


def test_the_key_is_not_stored(server: FakeEndpoint, tmp_path: Path) -> None:
    judge = ChatJudge(settings(server, cache=str(tmp_path / "replies.sqlite")))
    ask(judge)
    judge.close()
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_tokens_and_money_are_counted(server: FakeEndpoint) -> None:
    server.answer = lambda body: Reply(tokens=(1000, 200))
    judge = ChatJudge(settings(server, price_input=0.4, price_output=1.6))
    ask(judge, 5)
    usage = judge.usage
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (5, 5000, 1000)
    assert usage.cost == pytest.approx(5000 * 0.4e-6 + 1000 * 1.6e-6)


def test_spent_budget_stops_the_run_and_more_money_goes_on(server: FakeEndpoint, tmp_path: Path) -> None:
    server.answer = lambda body: Reply(tokens=(1_000_000, 0))
    prices = {"price_input": 1.0, "concurrency": 1, "cache": str(tmp_path / "replies.sqlite")}
    with pytest.raises(BudgetSpent, match=r"budget of 3 is spent \(3 calls\)"):
        ask(ChatJudge(settings(server, budget=3.0, **prices)), 5)
    assert len(server.requests) == 3
    assert ask(ChatJudge(settings(server, budget=4.0, **prices)), 5) == [Verdict.A] * 5
    assert len(server.requests) == 5


def test_budget_without_prices_is_refused() -> None:
    with pytest.raises(ValueError, match="price_input"):
        ChatJudgeSettings(model="m", budget=1.0)


def test_concurrency_is_bounded_and_used(server: FakeEndpoint) -> None:
    server.answer = lambda body: Reply(delay_s=0.05)
    assert ask(ChatJudge(settings(server, concurrency=3)), 12) == [Verdict.A] * 12
    assert server.most_in_flight == 3


def test_breaker_stops_calls_to_an_endpoint_that_is_down(server: FakeEndpoint) -> None:
    server.answer = lambda body: Reply(status=500)
    judge = ChatJudge(settings(server, retries=0, breaker=3, concurrency=1))
    assert ask(judge, 6) == ["judge_down"] * 3 + ["judge_breaker_open"] * 3
    assert len(server.requests) == 3


def test_texts_are_cut_to_the_same_length(server: FakeEndpoint) -> None:
    judge = ChatJudge(settings(server, max_answer_chars=10))
    asyncio.run(judge.compare(request="r", answer_a="x" * 50, answer_b="y" * 10, row={}))
    user = server.requests[0]["messages"][1]["content"]
    assert "\n" + "x" * 10 + " [...]\n" in user
    assert "\n" + "y" * 10 + "\n" in user


def test_judge_works_from_one_event_loop_after_another(server: FakeEndpoint) -> None:
    judge = ChatJudge(settings(server))
    assert [ask(judge)[0] for _ in range(3)] == [Verdict.A] * 3


def test_template_errors_name_the_file(server: FakeEndpoint, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"gone\.txt"):
        ChatJudge(settings(server, template=str(tmp_path / "gone.txt")))
    path = tmp_path / "half.txt"
    path.write_text("[user]\n{request} {answer_a}")
    with pytest.raises(RecipeError, match=r"half\.txt: the \[user\] section lacks \{answer_b\}"):
        ChatJudge(settings(server, template=str(path)))


def test_openai_is_imported_only_when_asked() -> None:
    code = "import sys, omnithinker.judge.chat; print('openai' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_connections_are_closed_with_their_event_loop(server: FakeEndpoint, caplog: pytest.LogCaptureFixture) -> None:
    judge = ChatJudge(settings(server))
    assert ask(judge, 3) == [Verdict.A] * 3
    reward = PairwiseJudge(judge)
    group = RolloutGroup(
        prompt=Prompt(task="w", index=0, text="Write.", row={"reference": "r"}), trajectories=(Trajectory(text="c"),)
    )
    with Scorer({"w": [Component("judge", reward, 1.0, True)]}) as scorer:
        assert scorer.submit(group).result().scores[0].reward is not None
    del judge, reward, scorer
    gc.collect()
    assert "Unclosed" not in caplog.text


def test_contradictory_verdicts_for_the_two_orders_are_a_tie(server: FakeEndpoint) -> None:
    """A judge that prefers whatever comes first, asked both ways."""
    group = [Trajectory(text="c")]
    prompt = Prompt(task="w", index=0, text="Write.", row={"reference": "r"})
    reward = PairwiseJudge(ChatJudge(settings(server)), "both")
    assert [answer.value for answer in asyncio.run(reward.score_group(prompt, group))] == [0.5]
    assert len(server.requests) == 2


def test_a_place_in_the_queue_costs_none_of_the_deadline(server: FakeEndpoint) -> None:
    server.replies = [Reply(hang=True)]
    judge = ChatJudge(settings(server, concurrency=1, deadline_s=2.0))
    # The second waits until the first has used up its deadline, and then has its own.
    assert ask(judge, 2) == ["judge_timeout", Verdict.A]


def test_time_for_a_run_is_measured_while_replies_are_waited_for(server: FakeEndpoint) -> None:
    clock = Clock()

    def slow(body: dict[str, Any]) -> Reply:
        clock.now += 40
        return Reply()

    server.answer = slow
    one = endpoint.Endpoint(settings(server, run_deadline_s=100.0), clock=clock)

    async def judge() -> None:
        for number in range(5):
            clock.now += 1000  # nothing is under way: does not count
            await one.complete([{"role": "user", "content": f"{number}"}])

    with pytest.raises(BudgetSpent, match=r"its 100 s for this run are used up; raise judges\.default\.run_deadline_s"):
        asyncio.run(judge())
    assert (one.usage.calls, one.usage.seconds) == (3, 120.0)
