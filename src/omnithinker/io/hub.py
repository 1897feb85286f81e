"""Requests to the Hugging Face hub with a time limit; libraries on their own retry for a minute."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

HUB_TIMEOUT_S = 3.0
"""Time within which the hub must answer."""


def unreachable() -> str | None:
    """Return why the hub cannot be used; None if it answers."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return None if reachable(constants.ENDPOINT) else f"{constants.ENDPOINT} cannot be reached"


def go_offline() -> None:
    """Let libraries use only what is in the local cache."""
    from huggingface_hub import constants

    os.environ["HF_HUB_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = True


def reachable(address: str) -> bool:
    """Return True if a server answers in time."""

    def ask() -> bool:
        import httpx

        try:
            httpx.head(address, timeout=HUB_TIMEOUT_S)
        except (OSError, httpx.HTTPError, httpx.InvalidURL):
            return False
        return True

    return in_time(ask, otherwise=False)


def in_time(ask: Callable[[], _T], *, otherwise: _T) -> _T:
    """Return the answer of a request, or another value if it takes longer than :data:`HUB_TIMEOUT_S`.

    A thread asks, because the timeout of a connection does not limit the look-up of its name.
    """
    answers: list[_T] = []
    thread = threading.Thread(target=lambda: answers.append(ask()), name="hub", daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_S)
    return answers[0] if answers else otherwise
