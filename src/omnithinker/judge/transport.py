"""HTTP client of an endpoint: reads no more of a response than a judge can have to say. Imports the openai package."""

from __future__ import annotations

from typing import Any

import openai

from omnithinker.judge.replies import UnreadableReply

MAX_BYTES = 4_000_000
"""Longest response, bytes after decompression."""


class LimitedClient(openai.DefaultAioHttpClient):
    """Client that reads responses up to a length, and follows no redirects.

    A redirect would send the texts to an address that nobody has set, or turn the request into one without them.
    """

    def __init__(self) -> None:
        super().__init__(follow_redirects=False)

    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request and read its response.

        Raises:
            UnreadableReply: if the response is longer than ``MAX_BYTES``.
        """
        response = await super().send(request, **{**options, "stream": True})
        body = bytearray()
        try:
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_BYTES:
                    raise UnreadableReply(f"it has more than {MAX_BYTES:,} bytes")
        finally:
            await response.aclose()
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name.lower() not in ("content-encoding", "content-length", "transfer-encoding")
        ]
        read = type(response)(response.status_code, headers=headers, content=bytes(body), request=response.request)
        read.is_stream_consumed = True  # else the openai package leaves the body out of its errors
        return read
