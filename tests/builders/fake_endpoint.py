"""An OpenAI-compatible endpoint for tests: scripted replies and faults, served by a thread of this process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reply:
    """Response of the endpoint to one request."""

    text: str = "I compare them. [[A]]"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hang: bool = False
    """Accepts the request and never answers."""
    drop: bool = False
    """Closes the connection without an answer."""
    cut: int | None = None
    """Sends only so many bytes of the body, then closes."""
    drip_s: float | None = None
    """Sends the body byte by byte with this pause."""
    raw: str | bytes | None = None
    """Body in place of a chat completion."""
    tokens: tuple[int, int] = (100, 10)


class FakeEndpoint:
    """Use as a context manager; ``replies`` are used up in order, then ``answer`` decides."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.answer: Callable[[dict[str, Any]], Reply] = lambda body: Reply()
        self.requests: list[dict[str, Any]] = []
        self.in_flight = self.most_in_flight = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FakeEndpoint:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")
                )
                body = json.loads(await reader.readexactly(length))
                self.requests.append(body)
                reply = self.replies.pop(0) if self.replies else self.answer(body)
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    keep = await self._send(writer, reply)
                finally:
                    self.in_flight -= 1
                if not keep:
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client has gone, or the test is over
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> bool:
        if reply.hang:
            await asyncio.Event().wait()
        if reply.drop:
            return False
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        text = _completion(reply) if reply.raw is None else reply.raw
        if reply.status != 200 and reply.raw is None:
            text = json.dumps({"error": {"message": reply.text}})
        body = text if isinstance(text, bytes) else text.encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **reply.headers}
        lines = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        if reply.drip_s is not None:
            for byte in body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(reply.drip_s)
            return True
        writer.write(body if reply.cut is None else body[: reply.cut])
        await writer.drain()
        return reply.cut is None


def _completion(reply: Reply) -> str:
    usage = {"prompt_tokens": reply.tokens[0], "completion_tokens": reply.tokens[1], "total_tokens": sum(reply.tokens)}
    message = {"role": "assistant", "content": reply.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    kind = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
    return json.dumps({**kind, "choices": [choice], "usage": usage})
