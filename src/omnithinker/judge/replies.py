"""Replies of an endpoint, and strict parsing of its responses: nothing half understood is returned."""

from __future__ import annotations

import email.utils
import json
import math
import time
from dataclasses import dataclass
from typing import Any

ENDED = ("", "stop", "eos", "eos_token", "end_turn", "stop_sequence")
"""Values of ``finish_reason`` for a reply that the model itself has ended, in lower case."""
MAX_TOKENS = 10**9
"""Token counts above this are not believed."""
MAX_WAIT_S = 86_400.0
"""Longest delay that a Retry-After header can request, seconds."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Reply of an endpoint."""

    text: str
    """Unparsed text."""
    prompt_tokens: int
    """Tokens of the request as counted by the endpoint; 0 if not reported."""
    completion_tokens: int
    """Tokens of the reply as counted by the endpoint; 0 if not reported."""
    seconds: float
    """Duration of the call, seconds."""
    complete: bool = True
    """False if the reply was cut off (``finish_reason``) or is a refusal, and so has no verdict."""


def reply_from(record: Any) -> Reply:
    """Return the reply of a record with its fields.

    Raises:
        ValueError: if the record is damaged.
    """
    kinds = {"text": str, "prompt_tokens": int, "completion_tokens": int, "seconds": int | float, "complete": bool}
    required = set(kinds) - {"complete"}
    known = isinstance(record, dict) and required <= set(record) <= set(kinds)
    if not known or not all(isinstance(record[name], kinds[name]) for name in record):
        raise ValueError("a stored reply is damaged")
    return Reply(**record)


class UnreadableReply(ValueError):
    """A response is not a chat completion with one text and token counts; the message says what is wrong."""


def read_completion(body: bytes, seconds: float) -> Reply:
    """Parse the text and the token counts of a chat completion.

    Raises:
        UnreadableReply: if it is not a chat completion in UTF-8 with one choice, whose content is a text or absent,
            and whose usage is absent or two token counts.
    """
    try:
        completion = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise UnreadableReply("the reply is not valid JSON in UTF-8") from error
    try:
        if completion.get("error"):
            raise UnreadableReply("the reply reports an error")
        (choice,), usage = completion["choices"], completion.get("usage")
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        reason = _text(choice.get("finish_reason"), "choices[0].finish_reason")
    except UnreadableReply:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableReply("the reply is not a chat completion with one choice") from error
    return Reply(
        text=_text(content, "choices[0].message.content"),
        prompt_tokens=_tokens(usage, "prompt_tokens"),
        completion_tokens=_tokens(usage, "completion_tokens"),
        seconds=round(seconds, 3),
        complete=reason.lower() in ENDED and not refusal,
    )


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnreadableReply(f"{name} is not a text ({type(value).__name__})")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnreadableReply(f"{name} is not valid Unicode") from error
    return value


def _tokens(usage: Any, name: str) -> int:
    if usage is None:
        return 0
    if not isinstance(usage, dict):
        raise UnreadableReply(f"usage is not an object ({type(usage).__name__})")
    value = usage.get(name)
    if value is None:
        return 0
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= MAX_TOKENS or value != int(value):
        raise UnreadableReply(f"usage.{name} is not a number of tokens: {str(value)[:40]}")
    return int(value)


def retry_after(value: str | None, date: str | None = None) -> float | None:
    """Return the delay of a Retry-After header, seconds; None if absent or invalid.

    Args:
        value: Seconds or a date.
        date: Date header of the response, with which a date is compared: this machine's clock may be wrong.
    """
    if value is None:
        return None
    try:
        delay = float(value)
    except ValueError:
        until, now = _seconds(value), _seconds(date)
        if until is None:
            return None
        delay = until - (time.time() if now is None else now)
    return None if math.isnan(delay) else min(max(0.0, delay), MAX_WAIT_S)


def _seconds(date: str | None) -> float | None:
    try:
        parsed = None if date is None else email.utils.parsedate_tz(date)
        return None if parsed is None else float(email.utils.mktime_tz(parsed))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
