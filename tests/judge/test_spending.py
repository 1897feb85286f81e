"""Budget, usage, rates, deadlines, and a key that appears nowhere."""

import asyncio
import base64
import html
import json
import math
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import ValidationError

from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.errors import BadInput, OmniThinkerError
from omnithinker.judge import endpoint
from omnithinker.judge.base import BudgetSpent, JudgeFailed, Verdict
from omnithinker.judge.chat import ChatJudge
from omnithinker.judge.limits import RequestLimit
from omnithinker.judge.secret import Secret
from tests.builders.clock import Clock
from tests.builders.fake_endpoint import FakeEndpoint, Reply

KEY = "sk-very/secret-key"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", KEY)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint.Endpoint, "_backoff", staticmethod(lambda attempt, wait: 0.0))


def judge_of(server: FakeEndpoint, **changes: Any) -> ChatJudge:
    values = {"model": "m", "base_url": server.url, "api_key_env": "TEST_JUDGE_KEY", "timeout_s": 20.0}
    return ChatJudge(ChatJudgeSettings(**{**values, **changes}))


def outcomes(judge: ChatJudge, count: int) -> list[Any]:
    """Verdicts or exceptions of so many judgments made side by side."""

    async def everything() -> list[Any]:
        calls = [judge.compare(request="r", answer_a=f"a{i}", answer_b="b", row={}) for i in range(count)]
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(everything())


def completion(content: str, usage: Any) -> Reply:
    choice = {"message": {"content": content}, "finish_reason": "stop"}
    return Reply(raw=json.dumps({"choices": [choice], "usage": usage}))


@pytest.mark.parametrize(("budget", "paid"), [(5.0, 5), (5.5, 6), (0.1, 1)])
def test_calls_in_flight_exceed_a_budget_by_one_at_most(server: FakeEndpoint, budget: float, paid: int) -> None:
    server.answer = lambda body: Reply(tokens=(1_000_000, 0), delay_s=0.02)
    judge = judge_of(server, budget=budget, price_input=1.0, concurrency=16)
    got = outcomes(judge, 30)
    assert len(server.requests) == paid == got.count(Verdict.A)
    assert sum(isinstance(one, BudgetSpent) for one in got) == 30 - paid


def test_a_budget_is_used_side_by_side_once_costs_are_known(server: FakeEndpoint) -> None:
    server.answer = lambda body: Reply(tokens=(1_000_000, 0), delay_s=0.05)
    assert outcomes(judge_of(server, budget=100.0, price_input=1.0, concurrency=8), 30) == [Verdict.A] * 30
    assert server.most_in_flight == 8


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": 0}, {"completion_tokens": 7}])
def test_a_budget_that_no_usage_fills_stops_at_the_first_reply(server: FakeEndpoint, usage: Any) -> None:
    server.answer = lambda body: completion("[[A]]", usage)
    prices = {"budget": 5.0, "price_input": 1.0, "price_output": 1.0, "concurrency": 8}
    got = outcomes(judge_of(server, **prices), 20)
    assert all(isinstance(one, BadInput) for one in got)
    assert "reports no usage" in str(got[0])
    assert "judges.default.estimate_usage = true" in str(got[0])
    assert len(server.requests) == 1
    told = judge_of(server, estimate_usage=True, **prices)
    assert outcomes(told, 2) == [Verdict.A] * 2
    size = sum(len(message["content"]) for message in server.requests[-1]["messages"]) // 4
    replies = 2 * ((usage or {}).get("completion_tokens") or 2)
    assert (told.usage.prompt_tokens, told.usage.completion_tokens) == (2 * size, replies)
    assert told.usage.cost == pytest.approx((2 * size + replies) / 1e6)


def test_usage_may_be_absent_without_a_budget(server: FakeEndpoint) -> None:
    server.answer = lambda body: completion("[[A]]", None)
    assert outcomes(judge_of(server, price_input=1.0), 2) == [Verdict.A] * 2


@pytest.mark.usefixtures("no_pause")
def test_replies_that_cannot_be_read_use_up_the_budget(server: FakeEndpoint) -> None:
    server.answer = lambda body: completion("[[A]]", {"prompt_tokens": -1_000_000})
    judge = judge_of(server, budget=0.001, price_input=1.0, retries=50)
    assert isinstance(outcomes(judge, 1)[0], BudgetSpent)
    assert len(server.requests) < 10
    assert judge.usage.cost < 0.002


def test_a_wrong_model_is_one_answer(server: FakeEndpoint) -> None:
    server.answer = lambda body: Reply("no such model", status=404)
    got = outcomes(judge_of(server, concurrency=1), 39)
    assert all(isinstance(one, BadInput) for one in got)
    assert len(server.requests) == 1


@pytest.mark.usefixtures("no_pause")
def test_calls_that_wait_to_try_again_stop_as_well(server: FakeEndpoint) -> None:
    server.replies = [Reply("busy", status=503)] * 4
    server.answer = lambda body: Reply("no such model", status=404)
    got = outcomes(judge_of(server, concurrency=4), 39)
    assert all(isinstance(one, BadInput) for one in got)
    assert len(server.requests) <= 4 + 4


def texts_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize(
    "reply",
    [
        Reply(f"Your key is {KEY}"),
        Reply(f"{KEY} " * 40),
        completion(f"key {KEY}", None),
        Reply(KEY, status=400),
        Reply(KEY, status=401),
        Reply(KEY, status=500),
        Reply("x" * 290 + KEY, status=500),
        Reply(raw=KEY),
        Reply(raw=json.dumps({"usage": KEY, "choices": [{"message": {"content": "x"}}]})),
        Reply(raw=json.dumps({"error": {"message": KEY}}), status=400),
    ],
)
def test_a_key_appears_in_no_text(server: FakeEndpoint, tmp_path: Path, reply: Reply) -> None:
    server.answer = lambda body: reply
    with judge_of(server, cache=str(tmp_path / "cache.sqlite"), retries=1) as judge:
        (error,) = outcomes(judge, 1)
        assert isinstance(error, OmniThinkerError)
        assert KEY not in str(error)
        assert "sk-very" not in repr(error)
        assert error.__cause__ is None or KEY not in str(error.__cause__)
        assert "\n" not in str(error)
    assert KEY.encode() not in texts_of(tmp_path)
    assert not any(KEY in json.dumps(request) for request in server.requests)


REAL_KEY = "sk-Pr0j/Ab+c=DeF_ghiJKLmnop-1234"
DISGUISES = {
    "URL": quote(REAL_KEY, safe=""),
    "URL in lower case": quote(REAL_KEY, safe="").lower(),
    "URL twice": quote(quote(REAL_KEY, safe=""), safe=""),
    "every character for a URL": "".join(f"%{ord(one):02X}" for one in REAL_KEY),
    "JSON twice": json.dumps(json.dumps(REAL_KEY))[3:-3],
    "JSON of PHP": json.dumps(REAL_KEY).replace("/", "\\/"),
    "every character for JSON": "".join(f"\\u{ord(one):04x}" for one in REAL_KEY),
    "HTML": "".join(f"&#{ord(one)};" for one in REAL_KEY),
    "HTML in hexadecimal": html.escape(REAL_KEY).replace("/", "&#x2F;"),
    "Base64": base64.b64encode(REAL_KEY.encode()).decode(),
    "Base64 of a header": base64.b64encode(f"Bearer {REAL_KEY}".encode()).decode(),
    "Base64 of a pair": base64.urlsafe_b64encode(f"user:{REAL_KEY}".encode()).decode(),
    "Base64 in lines": base64.encodebytes(REAL_KEY.encode() * 4).decode(),
    "hexadecimal": REAL_KEY.encode().hex(" "),
    "upper case": REAL_KEY.upper(),
    "lower case": REAL_KEY.lower(),
    "spaces": " ".join(REAL_KEY),
    "a line break": f"{REAL_KEY[:10]}\n{REAL_KEY[10:]}",
    "invisible characters": "\u200b".join(REAL_KEY),
    "first half": REAL_KEY[:18],
    "last half": REAL_KEY[-18:],
    "all but the ends": REAL_KEY[3:-3],
}


@pytest.mark.parametrize("name", DISGUISES)
@pytest.mark.parametrize("around", ["{}", "Wrong key: '{}'.", "https://host/?key={}&x=1"])
def test_a_key_in_disguise_is_hidden(name: str, around: str) -> None:
    text = around.format(DISGUISES[name])
    assert Secret(REAL_KEY).hidden_in(text) in ("***", around.format("***"))


@pytest.mark.parametrize("key", ["not-needed", "EMPTY", "no-key-required", "token-abc123", REAL_KEY])
def test_texts_that_have_no_key_are_shown(key: str) -> None:
    text = "That is not needed: no key required, 100% of the token (a&#39;b, \\u0041) is empty. abc123"
    assert Secret(key).hidden_in(text) == text


def test_an_unusable_key_is_named_by_its_variable(server: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (f"{KEY}\nsecond", f"{KEY} and", "schlüssel"):
        monkeypatch.setenv("TEST_JUDGE_KEY", key)
        with pytest.raises(BadInput, match="TEST_JUDGE_KEY contains") as caught:
            judge_of(server)
        assert "secret" not in str(caught.value)
    monkeypatch.setenv("TEST_JUDGE_KEY", f" {KEY}\n")
    assert outcomes(judge_of(server), 1) == [Verdict.A]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000/v1",
        "http://",
        "http:///v1",
        "ftp://host/v1",
        "http://host:port/v1",
        "http://host:99999/v1",
        "http://[::1",
        "http://a..b/v1",
        "http://ho st/v1",
        "http://host/v1\n",
        f"http://host/v1?key={KEY}",
    ],
)
def test_a_malformed_base_url_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError) as caught:
        ChatJudgeSettings(model="m", base_url=url)
    assert KEY not in caught.value.errors()[0]["msg"]
    if url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with pytest.raises(BadInput, match="OPENAI_BASE_URL") as stopped:
            ChatJudge(ChatJudgeSettings(model="m"))
        assert KEY not in str(stopped.value)


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "https://api.example.com", "http://[::1]:80/v1/"])
def test_a_base_url_is_accepted(url: str) -> None:
    assert ChatJudgeSettings(model="m", base_url=url).base_url == url


def test_a_key_in_place_of_its_variable_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValidationError) as caught:
        ChatJudgeSettings(model="m", api_key_env=KEY)
    assert KEY not in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize("name", ["timeout_s", "deadline_s", "budget", "price_input", "temperature"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0])
def test_numbers_are_finite(name: str, value: float) -> None:
    with pytest.raises(ValidationError):
        ChatJudgeSettings(**{"model": "m", "price_output": 1.0, name: value})


@pytest.mark.parametrize("per_minute", [0.5, 1.5, 7, 60, 600])
def test_requests_within_any_minute_are_at_most_the_limit(per_minute: float) -> None:
    clock = Clock()
    sent: list[float] = []

    async def oversleep(seconds: float) -> None:
        clock.now += seconds + (5.0 if len(sent) % 10 == 9 else 0.0)

    async def use() -> None:
        limit = RequestLimit(per_minute, clock, oversleep)
        for _ in range(int(3 * per_minute) + 3):
            await limit.acquire()
            sent.append(clock.now)

    asyncio.run(use())
    for start in sent:
        assert sum(start <= time < start + 60 - 1e-6 for time in sent) <= math.ceil(per_minute)


def test_requests_are_sent_at_even_intervals() -> None:
    clock = Clock()
    sent: list[float] = []

    async def use() -> None:
        limit = RequestLimit(60, clock, clock.sleep)
        for _ in range(5):
            await limit.acquire()
            sent.append(clock.now - 100)

    asyncio.run(use())
    assert sent == pytest.approx([0, 1, 2, 3, 4])


def test_waiting_for_the_rate_costs_none_of_the_deadline(server: FakeEndpoint) -> None:
    judge = judge_of(server, requests_per_minute=300, deadline_s=0.9)
    # The last waits for a second.
    assert outcomes(judge, 6) == [Verdict.A] * 6


def test_an_endpoint_that_asks_for_more_than_the_deadline_is_not_waited_for(server: FakeEndpoint) -> None:
    server.answer = lambda body: Reply("later", status=429, headers={"retry-after": "3600"})
    (error,) = outcomes(judge_of(server, deadline_s=600.0), 1)
    assert isinstance(error, JudgeFailed)
    assert error.cause == "judge_rate_limited"
    assert len(server.requests) == 1


def test_a_clock_that_runs_backwards_is_no_credit() -> None:
    clock = Clock()

    async def use() -> None:
        limit = RequestLimit(60, clock, clock.sleep)
        await limit.acquire()
        clock.now -= 50
        await limit.acquire()
        assert clock.now == pytest.approx(51.0)

    asyncio.run(use())


def test_a_password_in_the_address_is_refused_without_repeating_it(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://me:p%40ssword@host/v1"
    with pytest.raises(BadInput, match="base_url must not contain a user or a password") as caught:
        ChatJudge(ChatJudgeSettings(model="m", base_url=url))
    assert "p%40ssword" not in str(caught.value)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(BadInput, match="must not contain a user"):
        ChatJudge(ChatJudgeSettings(model="m"))
