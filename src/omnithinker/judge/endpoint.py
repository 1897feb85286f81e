"""Client of a model behind an OpenAI-compatible endpoint: retries, rate limits, deadlines, cache and cost."""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from omnithinker.config.judges import ChatJudgeSettings, url_problem
from omnithinker.errors import BadInput
from omnithinker.io.closing import Closing
from omnithinker.io.step_metrics import JudgeMetrics
from omnithinker.judge.allowance import Allowance
from omnithinker.judge.base import BudgetSpent, JudgeFailed
from omnithinker.judge.cache import ReplyCache, request_key
from omnithinker.judge.ledger import Account, Ledger
from omnithinker.judge.limits import BusyClock, CircuitBreaker, RateLimit, RequestLimit
from omnithinker.judge.prompts import Message
from omnithinker.judge.replies import Reply, UnreadableReply, read_completion, retry_after
from omnithinker.judge.secret import Secret

BREAKER_PAUSE_S = 30.0
"""Time between trial calls while the circuit breaker is open, seconds."""
CHARS_PER_TOKEN = 4
"""Estimate of tokens where the endpoint has not counted them."""
_RETRYABLE = (408, 409, 425, 429)
_CONFIGURATION = "check model, base_url and the key in {key}"
_FATAL = {
    **dict.fromkeys((401, 403, 404, 405, 410), _CONFIGURATION),
    402: "add credit to the account of the key in {key}, and run the same command again to resume",
}
"""Status -> advice, where no other request can succeed."""
_MESSAGE_CHARS = 300
"""Length to which messages of endpoints are cut."""


class _RetryableError(Exception):
    """An attempt failed, and another one may succeed."""

    def __init__(self, cause: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.cause, self.retry_after_s = cause, retry_after_s


@dataclass(frozen=True, slots=True)
class _Session:
    """Connections of an endpoint in one event loop."""

    connections: AsyncGenerator[Any, None]
    """Generator that closes the client when it is closed."""
    client: Any
    """Client that sends requests."""
    slots: asyncio.Semaphore
    """Limit of the requests in flight."""


class Endpoint(Closing):
    """Sends conversations to a model and returns its replies.

    May be used from several event loops, also concurrently; each has its own connections. Retries are not left to the
    ``openai`` package, because each attempt must respect the rate limits and the budget, and be counted.

    Args:
        settings: Model, address, limits and prices.
        account: Counts calls, tokens and cost; by default a new one.
        clock: Monotonic clock, seconds.

    Raises:
        BadInput: if key or base URL cannot be used, or the cache cannot be opened.
    """

    def __init__(
        self,
        settings: ChatJudgeSettings,
        account: Account | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.account = account or Ledger().account("default", settings.model)
        self._url = settings.base_url or os.environ.get("OPENAI_BASE_URL") or None
        if self._url is not None and (problem := url_problem(self._url)):
            raise BadInput(f"judge {settings.model}: the environment variable OPENAI_BASE_URL {problem}")
        if urlsplit(self._url or "").username is not None:
            # The header with the key excludes them, and nothing must print them.
            raise BadInput(
                f"judge {settings.model}: base_url must not contain a user or a password; set the environment variable "
                f"{settings.api_key_env} to the key"
            )
        self._key = Secret.from_environment(settings.api_key_env)
        if not self._key.value and self._url is None:
            raise BadInput(
                f"judge {settings.model}: the environment variable {settings.api_key_env} is not set; set it to "
                "the API key, or set base_url to an endpoint that requires none"
            )
        self._cache = None if settings.cache is None else ReplyCache(settings.cache)
        self._requests = RequestLimit(settings.requests_per_minute, sleep=self._pause)
        self._tokens = RateLimit(settings.tokens_per_minute, sleep=self._pause)
        self._allowance = Allowance(settings.budget, lambda: (self.usage.cost, self.usage.calls))
        self._breaker = CircuitBreaker(settings.breaker, BREAKER_PAUSE_S)
        self._busy = BusyClock(clock)
        self._unusable: str | None = None
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}

    @property
    def usage(self) -> JudgeMetrics:
        """Calls, tokens, cost and failures in this run so far."""
        return self.account.usage

    async def complete(self, messages: list[Message], trial: int = 0) -> Reply:
        """Return the model's reply to a conversation.

        Args:
            messages: Messages with role and content.
            trial: Distinguishes repeated samples for the same conversation.

        Raises:
            JudgeFailed: if there is no reply within retries and deadline; causes ``judge_timeout``,
                ``judge_rate_limited``, ``judge_down``, ``judge_bad_response``, ``judge_refused``,
                ``judge_breaker_open``.
            BadInput: if the endpoint does not know the model, rejects the key, wants to be paid, or has a budget and
                reports no usage; no more calls are made.
            BudgetSpent: if the budget or the time for this run is used up.
            DiskError: if the cache or the run's account cannot be written; after the latter no more calls are made.
        """
        body = self._body(messages)
        key = request_key(self.settings.model, self._url or "", body, trial)
        if self._cache is not None and (cached := self._cache.get(key)) is not None:
            self.account.add(cached=1)
            return cached
        session = await self._session()
        size = sum(len(message["content"]) for message in messages) // CHARS_PER_TOKEN
        # Waiting for a slot or for the budget does not count towards the deadline.
        async with session.slots, self._allowance.call(self._cost(size, self.settings.max_tokens), self._check):
            reply = await self._complete(session.client, body, size)
            paid = reply = self._estimated(reply, size) if self.settings.estimate_usage else reply
            # The reply is cached before it is counted, so that a crash can lose a count but no paid reply.
            if self._cache is not None:
                reply = self._cache.put(key, reply)
            self._count(paid)
        return reply

    def close(self) -> None:
        """Close the connections and the cache."""
        for loop, session in self._sessions.items():
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(session.connections.aclose(), loop)
        self._sessions.clear()
        if self._cache is not None:
            self._cache.close()

    def _body(self, messages: list[Message]) -> dict[str, Any]:
        body: dict[str, Any] = {"messages": messages, "max_completion_tokens": self.settings.max_tokens}
        if self.settings.temperature != "default":
            body["temperature"] = self.settings.temperature
        return body

    async def _complete(self, client: Any, body: dict[str, Any], size: int) -> Reply:
        failure = _RetryableError("judge_timeout", "no attempt has finished")
        try:
            async with asyncio.timeout(self.settings.deadline_s) as deadline:
                if not self._breaker.allows():
                    raise self._failed(
                        "judge_breaker_open", f"not called after {self.settings.breaker} consecutive failures"
                    )
                for attempt in range(self.settings.retries + 1):
                    try:
                        reply = await self._attempt(client, body, size, deadline)
                    except _RetryableError as error:
                        failure = error
                    else:
                        self._breaker.record(True)
                        return reply
                    pause = self._backoff(attempt, failure.retry_after_s)
                    if attempt == self.settings.retries or pause > _remaining(deadline):
                        break
                    self.account.add(retries=1)
                    await self._pause(pause)
        except TimeoutError:
            failure = _RetryableError(
                "judge_timeout", f"no reply within {self.settings.deadline_s:g} s; last error: {failure}"
            )
        self._breaker.record(False)
        raise self._failed(failure.cause, str(failure))

    def _check(self) -> None:
        """Check that one more request may be sent.

        Raises:
            BadInput: if an earlier one has shown that none can succeed.
            BudgetSpent: if the budget or the time for this run is used up.
            DiskError: if an earlier one could not be counted.
        """
        if self._unusable is not None:
            raise BadInput(self._unusable)
        self.account.ledger.check()
        settings, usage = self.settings, self.usage
        seconds = usage.seconds + self._busy.seconds
        if settings.budget is not None and usage.cost >= settings.budget:
            name, reason = "budget", f"the budget of {settings.budget:g} is spent ({usage.calls:,} calls)"
        elif settings.run_deadline_s is not None and seconds >= settings.run_deadline_s:
            name, reason = "run_deadline_s", f"its {settings.run_deadline_s:g} s for this run are used up"
        else:
            return
        place = f"judges.{self.account.judge}.{name}"
        raise BudgetSpent(f"judge {settings.model}: {reason}; raise {place} and run the same command again to resume")

    async def _pause(self, seconds: float) -> None:
        """Sleep, but no longer than it makes sense to go on."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check()
            await asyncio.sleep(min(left, 1.0))

    async def _attempt(self, client: Any, body: dict[str, Any], size: int, deadline: asyncio.Timeout) -> Reply:
        self._check()
        # Waiting for one's own rate does not count towards the deadline.
        left = _remaining(deadline)
        if deadline.expired():
            raise TimeoutError
        deadline.reschedule(None)
        await self._requests.acquire()
        await self._tokens.acquire(size)
        deadline.reschedule(asyncio.get_running_loop().time() + left)
        self._check()
        started = time.monotonic()
        with self._busy:
            response = await self._request(client, body)
        try:
            reply = read_completion(response, time.monotonic() - started)
        except UnreadableReply as error:
            # It was paid for, whatever it says.
            self._charge(self._cost(size, len(response) // CHARS_PER_TOKEN))
            raise _RetryableError("judge_bad_response", str(error)) from None
        self._tokens.settle(reply.prompt_tokens + reply.completion_tokens - size)
        return replace(reply, text=self._key.hidden_in(reply.text))

    async def _request(self, client: Any, body: dict[str, Any]) -> bytes:
        """Send one HTTP request and return the response's body, or classify its failure."""
        import openai

        try:
            async with asyncio.timeout(self.settings.timeout_s):
                # The typed method spends twice as long on validating types as on sending and receiving.
                body = {"model": self.settings.model, **body}
                return bytes(await client.post("/chat/completions", body=body, cast_to=bytes))
        except TimeoutError as error:
            raise _RetryableError("judge_timeout", f"no reply within {self.settings.timeout_s:g} s") from error
        except openai.APIConnectionError as error:
            raise _RetryableError("judge_down", f"connection failed: {error.__cause__ or error}") from None
        except openai.APIStatusError as error:
            message = self._key.hidden_in(str(error))
            raise self._status_failure(error.status_code, message, error.response.headers) from None
        except Exception as error:
            # Transports raise errors of many libraries for what is no HTTP or no text.
            message = f"the response cannot be read: {type(error).__name__}: {error}"
            raise _RetryableError("judge_bad_response", message) from None

    def _status_failure(self, status: int, message: str, headers: Any) -> Exception:
        message = _one_line(message)
        if 300 <= status < 400:
            return _RetryableError("judge_down", f"it redirects (status {status}); set base_url to its new address")
        if status in _RETRYABLE or status >= 500:
            cause = "judge_rate_limited" if status == 429 else "judge_down"
            return _RetryableError(cause, message, retry_after(headers.get("retry-after"), headers.get("date")))
        if status in _FATAL:
            place = self._url or "the default endpoint"
            advice = _FATAL[status].format(key=self.settings.api_key_env)
            self._unusable = self._key.hidden_in(f"judge {self.settings.model} at {place}: {message}; {advice}")
            return BadInput(self._unusable)
        # The endpoint works but rejects this text (too long, filtered), which is no reason to stop calling it.
        self._breaker.record(True)
        return self._failed("judge_refused", message)

    async def _session(self) -> _Session:
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            for old in [old for old in self._sessions if old.is_closed()]:
                del self._sessions[old]
            connections = self._connect()
            slots = asyncio.Semaphore(self.settings.concurrency)
            try:
                self._sessions[loop] = _Session(connections, await anext(connections), slots)
            except Exception as error:
                message = self._key.hidden_in(f"{type(error).__name__}: {error}")
                raise BadInput(f"judge {self.settings.model}: base_url or a proxy cannot be used: {message}") from None
        return self._sessions[loop]

    async def _connect(self) -> AsyncGenerator[Any, None]:
        """Open connections for one event loop, which closes them when it ends, like every open generator."""
        import openai  # takes a second, so only when a judge is called

        from omnithinker.judge.transport import LimitedClient

        async with openai.AsyncOpenAI(
            api_key=self._key.value or "none",
            base_url=self._url,
            timeout=None,  # see _request; the transport reports every lost connection as a timeout
            max_retries=0,
            # With many concurrent requests, the default transport takes twice the CPU time.
            http_client=LimitedClient(),
        ) as client:
            yield client

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.settings.price_input + completion_tokens * self.settings.price_output) / 1e6

    def _charge(self, cost: float, **counts: int) -> None:
        self._allowance.learn(cost)
        self.account.add(**counts, cost=cost, seconds=self._busy.take())

    def _count(self, reply: Reply) -> None:
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        self._charge(self._cost(prompt, completion), calls=1, prompt_tokens=prompt, completion_tokens=completion)
        settings = self.settings
        uncounted = (settings.price_input and not prompt) or (settings.price_output and reply.text and not completion)
        if settings.budget is not None and uncounted:
            self._unusable = (
                f"judge {settings.model}: a reply reports no usage, so that the budget of {settings.budget:g} would "
                f"never be spent; set judges.{self.account.judge}.estimate_usage = true to count {CHARS_PER_TOKEN} "
                "characters as a token, or remove the budget"
            )
            raise BadInput(self._unusable)

    @staticmethod
    def _estimated(reply: Reply, size: int) -> Reply:
        """Return a reply with estimated tokens where the endpoint has reported none."""
        return replace(
            reply,
            prompt_tokens=reply.prompt_tokens or size,
            completion_tokens=reply.completion_tokens or -(-len(reply.text) // CHARS_PER_TOKEN),
        )

    def _failed(self, cause: str, message: str) -> JudgeFailed:
        self.account.add(failures={cause: 1}, seconds=self._busy.take())
        return JudgeFailed(cause, f"judge {self.settings.model}: {_one_line(self._key.hidden_in(message))}")

    @staticmethod
    def _backoff(attempt: int, retry_after_s: float | None) -> float:
        """Return the time until the next attempt, seconds: Retry-After or exponential backoff, with jitter."""
        if retry_after_s is not None:
            return retry_after_s + random.uniform(0, 0.1 * retry_after_s)
        return random.uniform(0.5, 1.0) * min(8.0, 0.5 * 2.0**attempt)


def _one_line(message: str) -> str:
    """Return a message of others as one line of bounded length, without control characters."""
    line = " ".join(message[: 4 * _MESSAGE_CHARS].split())[:_MESSAGE_CHARS]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def _remaining(deadline: asyncio.Timeout) -> float:
    """Return the time until a deadline, seconds; infinite if there is none."""
    when = deadline.when()
    return math.inf if when is None else when - asyncio.get_running_loop().time()
