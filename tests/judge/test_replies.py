"""Responses that are no chat completion, hold impossible numbers, or cannot be read at all."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.judge import transport
from omnithinker.judge.base import JudgeFailed, Verdict
from omnithinker.judge.chat import ChatJudge
from omnithinker.judge.endpoint import Endpoint
from omnithinker.judge.replies import MAX_WAIT_S, Reply, UnreadableReply, read_completion, retry_after
from tests.builders.fake_endpoint import FakeEndpoint
from tests.builders.fake_endpoint import Reply as Response


def completion(content: Any = "[[A]]", usage: Any = None, **choice: Any) -> str:
    return json.dumps({"choices": [{"message": {"content": content}, **choice}], "usage": usage})


UNREADABLE = {
    "parts": completion([{"type": "text", "text": "[[A]]"}]),
    "number": completion(5),
    "object": completion({"text": "[[A]]"}),
    "flag": completion(False),
    "empty list": completion([]),
    "lone surrogate": completion("[[A]] \ud800"),
    "deep": "[" * 200_000 + "]" * 200_000,
    "deep content": '{"choices": ' + "[" * 200_000 + "]" * 200_000 + "}",
    "long number": '{"choices": ' + "1" * 10_000 + "}",
    "list": "[1]",
    "text": '"[[A]]"',
    "null": "null",
    "choices object": '{"choices": {"0": 1}}',
    "finish reason": completion("[[A]]", finish_reason=["stop"]),
    "message list": '{"choices": [{"message": ["content"]}]}',
    "infinite usage": completion(usage={"prompt_tokens": float("inf")}),
    "overflowing usage": '{"choices": [{"message": {"content": "[[A]]"}}], "usage": {"prompt_tokens": 1e999}}',
    "no number": completion(usage={"completion_tokens": float("nan")}),
    "negative usage": completion(usage={"prompt_tokens": -5, "completion_tokens": 1}),
    "fraction": completion(usage={"prompt_tokens": 1.5}),
    "enormous usage": completion(usage={"prompt_tokens": 10**30}),
    "usage as text": completion(usage={"prompt_tokens": "12"}),
    "usage flag": completion(usage={"prompt_tokens": True}),
    "usage list": completion(usage=[1, 2]),
    "two choices": json.dumps({"choices": [{"message": {"content": f"[[{letter}]]"}} for letter in "AB"]}),
    "error beside a choice": completion()[:-1] + ', "error": {"message": "overloaded"}}',
    "nested usage": completion(usage={"prompt_tokens": {"n": 1}}),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_not_understood_is_an_error(name: str) -> None:
    with pytest.raises(UnreadableReply):
        read_completion(UNREADABLE[name].encode(), 0.0)


@pytest.mark.parametrize("wrong", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"])
def test_what_is_not_utf_8_is_an_error(wrong: bytes) -> None:
    with pytest.raises(UnreadableReply, match="not valid JSON in UTF-8"):
        read_completion(completion("x [[A]]").encode().replace(b"x", wrong), 0.0)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [(None, (0, 0)), ({}, (0, 0)), ({"prompt_tokens": 12.0, "completion_tokens": None, "cost": "?"}, (12, 0))],
)
def test_usage_may_be_absent(usage: Any, tokens: tuple[int, int]) -> None:
    assert read_completion(completion("text", usage).encode(), 1.23456) == Reply("text", *tokens, 1.235)
    assert read_completion(completion(None, usage).encode(), 0.0).text == ""


@pytest.mark.parametrize(
    ("choice", "complete"),
    [
        ({}, True),
        ({"finish_reason": "stop"}, True),
        ({"finish_reason": "STOP"}, True),
        ({"finish_reason": None}, True),
        ({"finish_reason": "length"}, False),
        ({"finish_reason": "content_filter"}, False),
        ({"finish_reason": "error"}, False),
        ({"finish_reason": "stop", "message": {"content": "[[A]]", "refusal": "I can't."}}, False),
        ({"finish_reason": "stop", "message": {"content": "[[A]]", "refusal": None}}, True),
    ],
)
def test_cut_and_refused_replies_have_no_verdict(server: FakeEndpoint, choice: dict[str, Any], complete: bool) -> None:
    text = completion("[[A]]", **choice)
    assert read_completion(text.encode(), 0.0).complete is complete
    server.replies = [Response(raw=text), Response("[[B]]")]
    with ChatJudge(ChatJudgeSettings(model="m", base_url=server.url)) as judge:
        assert ask(judge) is (Verdict.A if complete else Verdict.B)


def ask(judge: ChatJudge) -> Verdict | str:
    try:
        return asyncio.run(judge.compare(request="r", answer_a="a", answer_b="b", row={}))
    except JudgeFailed as error:
        return error.cause


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_not_understood_is_undefined_and_not_cached(server: FakeEndpoint, tmp_path: Path, name: str) -> None:
    settings = ChatJudgeSettings(model="m", base_url=server.url, cache=str(tmp_path / "cache.sqlite"), retries=0)
    server.replies = [Response(raw=UNREADABLE[name])]
    with ChatJudge(settings) as judge:
        assert ask(judge) == "judge_bad_response"
        assert ask(judge) is Verdict.A
    assert len(server.requests) == 2


TRANSPORT = {
    "bad chunk": Response(headers={"transfer-encoding": "chunked"}),
    "bad compression": Response(headers={"content-encoding": "gzip"}),
    "long header": Response(headers={"x-long": "x" * 200_000}),
    "many headers": Response(headers={f"x-{number}": "x" for number in range(20_000)}),
    "bad status": Response(status=99),
    "endless redirect": Response(status=302, headers={"location": "/v1/chat/completions"}),
}


@pytest.mark.parametrize("name", TRANSPORT)
def test_what_is_no_http_is_undefined(server: FakeEndpoint, name: str) -> None:
    server.answer = lambda body: TRANSPORT[name]
    with ChatJudge(ChatJudgeSettings(model="m", base_url=server.url, retries=0, timeout_s=5)) as judge:
        assert ask(judge) in ("judge_bad_response", "judge_down", "judge_refused")


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("compressed", [False, True])
def test_no_response_is_read_to_an_endless_end(
    server: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, status: int, compressed: bool
) -> None:
    monkeypatch.setattr(transport, "MAX_BYTES", 10_000)
    body = completion().encode() + b" " * 1_000_000
    headers = {"content-encoding": "gzip"} if compressed else {}
    long = Response(raw=gzip.compress(body) if compressed else body, status=status, headers=headers)
    server.replies = [long]
    with ChatJudge(ChatJudgeSettings(model="m", base_url=server.url, retries=0)) as judge:
        assert ask(judge) == "judge_bad_response"


def test_a_compressed_reply_is_read(server: FakeEndpoint) -> None:
    server.replies = [Response(raw=gzip.compress(completion("[[B]]").encode()), headers={"content-encoding": "gzip"})]
    with ChatJudge(ChatJudgeSettings(model="m", base_url=server.url, retries=0)) as judge:
        assert ask(judge) is Verdict.B


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_texts_are_sent_to_no_other_address(server: FakeEndpoint, status: int) -> None:
    with FakeEndpoint() as other:
        server.answer = lambda body: Response(status=status, headers={"location": f"{other.url}/chat/completions"})
        with ChatJudge(ChatJudgeSettings(model="m", base_url=server.url, retries=0)) as judge:
            assert ask(judge) == "judge_down"
        assert not other.requests


@pytest.mark.parametrize("status", [400, 500])
def test_messages_of_an_endpoint_are_one_short_line(server: FakeEndpoint, status: int) -> None:
    server.answer = lambda body: Response("a\nb\x1b[2Jc" + "x" * 5000, status=status)
    with ChatJudge(ChatJudgeSettings(model="m", base_url=server.url, retries=0)) as judge:
        with pytest.raises(JudgeFailed, match=r"a.*b.*c") as caught:
            asyncio.run(judge.compare(request="r", answer_a="a", answer_b="b", row={}))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("value", "delay"),
    [
        (None, None),
        ("1.5", 1.5),
        ("soon", None),
        ("nan", None),
        ("-3", 0.0),
        ("inf", MAX_WAIT_S),
        ("1e400", MAX_WAIT_S),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT_S),
        ("Fri, 99 Zzz -1 99:99:99 +999999999999", None),
    ],
)
def test_retry_after(value: str | None, delay: float | None) -> None:
    assert retry_after(value) == delay


def test_dates_are_compared_with_the_clock_of_the_endpoint() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:09 GMT", "Wed, 21 Oct 2015 07:28:00 GMT") == 9.0


def test_a_date_far_away_stops_no_run(server: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "_backoff", staticmethod(lambda attempt, wait: 0.0))
    server.replies = [Response(status=429, headers={"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"})]
    with ChatJudge(ChatJudgeSettings(model="m", base_url=server.url)) as judge:
        assert ask(judge) is Verdict.A
