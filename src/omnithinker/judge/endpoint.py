"""One model behind an OpenAI-compatible endpoint: retries, rates, deadlines, cache and cost in one place."""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import random
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.errors import BadInput
from omnithinker.judge.base import BudgetSpent, JudgeFailed
from omnithinker.judge.cache import Reply, ReplyCache, request_key
from omnithinker.judge.ledger import Account, Ledger, Usage
from omnithinker.judge.limits import BusyClock, CircuitBreaker, RateLimit
from omnithinker.judge.prompts import Message

BREAKER_PAUSE_S = 30.0
CHARS_PER_TOKEN = 4
"""Rough guess for the rate limit; corrected by the endpoint's own count."""
_RETRYABLE = (408, 409, 425, 429)
_MISCONFIGURED = (401, 403, 404)


class _Failure(Exception):
    """One try failed in a way that another may not."""

    def __init__(self, cause: str, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.cause, self.wait_s = cause, wait_s


@dataclass(frozen=True, slots=True)
class _Session:
    """What an endpoint has in one event loop."""

    opened: AsyncGenerator[Any, None]
    """Closes the client when it is closed."""
    client: Any
    """Sends requests."""
    slots: asyncio.Semaphore
    """One for each request that may be in flight."""


class Endpoint:
    """Sends conversations to one model and returns raw replies.

    May be used from several event loops, one after the other or at once; each has its own connections.

    Args:
        settings: model, address, limits, prices.
        account: where calls, tokens and money are counted; by default in an account of its own.
        clock: seconds, monotonic.

    Raises:
        BadInput: the environment variable with the key is not set, or the cache cannot be opened.
    """

    def __init__(
        self,
        settings: ChatJudgeSettings,
        account: Account | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.account = account or Ledger().account("default", settings.model)
        self._key = os.environ.get(settings.api_key_env, "")
        if not self._key and settings.base_url is None and "OPENAI_BASE_URL" not in os.environ:
            raise BadInput(
                f"judge {settings.model}: the environment variable {settings.api_key_env} is not set; put the key "
                "there, or set base_url to an endpoint that needs none"
            )
        self._cache = None if settings.cache is None else ReplyCache(settings.cache)
        self._requests = RateLimit(settings.requests_per_minute)
        self._tokens = RateLimit(settings.tokens_per_minute)
        self._breaker = CircuitBreaker(settings.breaker, BREAKER_PAUSE_S)
        self._busy = BusyClock(clock)
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}

    @property
    def usage(self) -> Usage:
        """Calls, tokens, money and failures so far, in this run."""
        return self.account.usage

    async def complete(self, messages: list[Message], trial: int = 0) -> Reply:
        """The model's reply to a conversation.

        Args:
            messages: role and content of each.
            trial: distinguishes repeated draws for the same conversation.

        Raises:
            JudgeFailed: no reply within retries and deadline; causes ``judge_timeout``, ``judge_rate_limited``,
                ``judge_down``, ``judge_bad_response``, ``judge_refused``, ``judge_breaker_open``.
            BadInput: the endpoint does not know the model or refuses the key.
            BudgetSpent: the money or the time for this run is used up.
            DiskError: the cache or the account of this run cannot be written; after the latter nothing more is asked.
        """
        body = self._body(messages)
        key = request_key(self.settings.model, self.settings.base_url or "", body, trial)
        if self._cache is not None and (known := self._cache.get(key)) is not None:
            self.account.add(cached=1)
            return known
        with self._busy:
            reply = await self._complete(body)
        # The reply is kept before it is counted: what a crash may lose is a line of the account.
        if self._cache is not None:
            self._cache.put(key, reply)
        self._count(reply)
        return reply

    def close(self) -> None:
        """Close the cache and the connections."""
        for loop, session in self._sessions.items():
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(session.opened.aclose(), loop)
        self._sessions.clear()
        if self._cache is not None:
            self._cache.close()

    def _body(self, messages: list[Message]) -> dict[str, Any]:
        body: dict[str, Any] = {"messages": messages, "max_completion_tokens": self.settings.max_tokens}
        if self.settings.temperature != "default":
            body["temperature"] = self.settings.temperature
        return body

    async def _complete(self, body: dict[str, Any]) -> Reply:
        session = await self._session()
        failure = _Failure("judge_timeout", "no try has ended")
        try:
            # Waiting for a slot is no fault of the endpoint, and does not count.
            async with session.slots, asyncio.timeout(self.settings.deadline_s):
                if not self._breaker.allows():
                    raise self._failed("judge_breaker_open", f"not called: {self.settings.breaker} failures in a row")
                for attempt in range(self.settings.retries + 1):
                    self._check_budget()
                    try:
                        reply = await self._attempt(session.client, body)
                    except _Failure as error:
                        failure = error
                    else:
                        self._breaker.record(True)
                        return reply
                    if attempt < self.settings.retries:
                        self.account.add(retries=1)
                        await asyncio.sleep(self._pause(attempt, failure.wait_s))
        except TimeoutError:
            failure = _Failure("judge_timeout", f"no reply within {self.settings.deadline_s:g} s; last: {failure}")
        self._breaker.record(False)
        raise self._failed(failure.cause, str(failure))

    def _check_budget(self) -> None:
        self.account.ledger.check()
        settings, usage = self.settings, self.usage
        seconds = usage.seconds + self._busy.seconds
        if settings.budget is not None and usage.cost >= settings.budget:
            name, spent = "budget", f"the budget of {settings.budget:g} is spent ({usage.calls:,} calls)"
        elif settings.run_deadline_s is not None and seconds >= settings.run_deadline_s:
            name, spent = "run_deadline_s", f"its {settings.run_deadline_s:g} s for one run are over"
        else:
            return
        place = f"judges.{self.account.judge}.{name}"
        raise BudgetSpent(f"judge {settings.model}: {spent}; raise {place} and run the same command again to go on")

    async def _attempt(self, client: Any, body: dict[str, Any]) -> Reply:
        guess = sum(len(message["content"]) for message in body["messages"]) / CHARS_PER_TOKEN
        await self._requests.acquire()
        await self._tokens.acquire(guess)
        started = time.monotonic()
        reply = read_completion(await self._request(client, body), time.monotonic() - started)
        self._tokens.settle(reply.prompt_tokens + reply.completion_tokens - guess)
        return reply

    async def _request(self, client: Any, body: dict[str, Any]) -> str:
        """One HTTP request; every way in which it can fail gets its name."""
        import openai

        try:
            async with asyncio.timeout(self.settings.timeout_s):
                # The typed method spends twice as long on checking types as on sending and receiving.
                whole = {"model": self.settings.model, **body}
                return str(await client.post("/chat/completions", body=whole, cast_to=str))
        except TimeoutError as error:
            raise _Failure("judge_timeout", f"no reply within {self.settings.timeout_s:g} s") from error
        except openai.APIConnectionError as error:
            raise _Failure("judge_down", f"connection failed: {error.__cause__ or error}") from error
        except openai.APIStatusError as error:
            raise self._status_failure(error.status_code, self._hide(str(error)), error.response.headers) from error

    def _status_failure(self, status: int, message: str, headers: Any) -> Exception:
        message = message[:300]
        if status in _RETRYABLE or status >= 500:
            cause = "judge_rate_limited" if status == 429 else "judge_down"
            return _Failure(cause, message, retry_after(headers.get("retry-after")))
        if status in _MISCONFIGURED:
            return BadInput(
                f"judge {self.settings.model} at {self.settings.base_url or 'the default endpoint'}: {message}; check "
                f"model, base_url and the key in {self.settings.api_key_env}"
            )
        # The endpoint is well, it declines this text (too long, filtered): no reason to stop calling.
        self._breaker.record(True)
        return self._failed("judge_refused", message)

    async def _session(self) -> _Session:
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            for old in [old for old in self._sessions if old.is_closed()]:
                del self._sessions[old]
            opened = self._connections()
            slots = asyncio.Semaphore(self.settings.concurrency)
            self._sessions[loop] = _Session(opened, await anext(opened), slots)
        return self._sessions[loop]

    async def _connections(self) -> AsyncGenerator[Any, None]:
        """Connections of one event loop; a loop that ends closes them, as it does with every open generator."""
        import openai  # takes a second: only those who ask a judge wait for it

        async with openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self.settings.base_url,
            timeout=None,  # time is kept by us; the transport calls every lost connection a timeout
            max_retries=0,
            # With many requests at once, the default transport takes twice the processor time.
            http_client=openai.DefaultAioHttpClient(),
        ) as client:
            yield client

    def _count(self, reply: Reply) -> None:
        price_input, price_output = self.settings.price_input, self.settings.price_output
        self.account.add(
            calls=1,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            cost=(reply.prompt_tokens * price_input + reply.completion_tokens * price_output) / 1e6,
            seconds=self._busy.take(),
        )

    def _failed(self, cause: str, message: str) -> JudgeFailed:
        self.account.add(failures={cause: 1}, seconds=self._busy.take())
        return JudgeFailed(cause, f"judge {self.settings.model}: {self._hide(message)}")

    def _hide(self, message: str) -> str:
        """Some endpoints repeat the key in their error messages."""
        return message.replace(self._key, "***") if self._key else message

    @staticmethod
    def _pause(attempt: int, wait_s: float | None) -> float:
        """Seconds until the next try: what the endpoint asked for, or exponential; with jitter either way."""
        if wait_s is not None:
            return wait_s + random.uniform(0, 0.1 * wait_s)
        return random.uniform(0.5, 1.0) * min(8.0, 0.5 * 2.0**attempt)


def read_completion(text: str, seconds: float) -> Reply:
    """What a chat completion says and how many tokens it took.

    Raises:
        _Failure: it is no chat completion.
    """
    try:
        answer = json.loads(text)
        usage = answer.get("usage") or {}
        return Reply(
            text=answer["choices"][0]["message"].get("content") or "",
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            seconds=round(seconds, 3),
        )
    except ValueError as error:
        raise _Failure("judge_bad_response", "the reply is not valid JSON") from error
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise _Failure("judge_bad_response", "the reply is not a chat completion") from error


def retry_after(value: str | None) -> float | None:
    """Seconds a Retry-After header asks to wait, given in seconds or as a date; None if absent or unreadable."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        date = email.utils.parsedate_tz(value)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())
