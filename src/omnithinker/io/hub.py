"""Whether the Hugging Face hub answers, found out before libraries retry for a minute."""

from __future__ import annotations

import os
import threading

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
    """Return True if a server answers in time. The timeout of a connection does not limit the look-up of its name."""
    answered: list[bool] = []

    def ask() -> None:
        import httpx

        try:
            httpx.head(address, timeout=HUB_TIMEOUT_S)
            answered.append(True)
        except (OSError, httpx.HTTPError, httpx.InvalidURL):
            pass

    thread = threading.Thread(target=ask, name="hub", daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_S)
    return bool(answered)
