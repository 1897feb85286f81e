"""Messages between judge and solver: length-prefixed JSON over a socket, bounded in size."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

_LENGTH = struct.Struct("<I")
_LARGEST = 16 << 20


class PeerGone(BaseException):
    """The other process ended, or sent something that is not a message. Not an Exception: tests must not catch it."""


class Channel:
    """One end of the connection.

    Args:
        descriptor: a connected stream socket.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._read, self._write = os.read, os.write
        self._dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
        self._loads = json.JSONDecoder().raw_decode

    def send(self, message: Any) -> None:
        """Send one message.

        Raises:
            PeerGone: the other end is closed.
            ValueError: the message is too large.
        """
        body = self._dumps(message).encode()
        if len(body) > _LARGEST:
            raise ValueError(f"a value of {len(body)} bytes is too large to cross")
        data = _LENGTH.pack(len(body)) + body
        try:
            while data:
                data = data[self._write(self._descriptor, data) :]
        except OSError as error:
            raise PeerGone("the other process is gone") from error

    def receive(self) -> dict[str, Any]:
        """Wait for one message.

        Raises:
            PeerGone: the other end is closed, or what came is not a message.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > _LARGEST:
            raise PeerGone("a message is too large")
        try:
            text = self._exactly(length).decode()
            message, end = self._loads(text)
        except (ValueError, RecursionError) as error:
            raise PeerGone("a message is malformed") from error
        if type(message) is not dict or end != len(text):
            raise PeerGone("a message is malformed")
        return message

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            try:
                part = self._read(self._descriptor, min(size, 1 << 20))
            except OSError as error:
                raise PeerGone("the other process is gone") from error
            if not part:
                raise PeerGone("the other process is gone")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
