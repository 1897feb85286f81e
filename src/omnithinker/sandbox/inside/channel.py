"""Messages between judge and solver: length-prefixed JSON over a socket, bounded in size."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

_LENGTH = struct.Struct("<I")
_MAX_BYTES = 16 << 20


class PeerGone(BaseException):
    """The other process ended or sent a malformed message. Not an ``Exception``, so that tests do not catch it."""


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
            PeerGone: if the other end is closed.
            ValueError: if the message is too large.
        """
        body = self._dumps(message).encode()
        if len(body) > _MAX_BYTES:
            raise ValueError(f"a value of {len(body)} bytes is too large to send")
        data = _LENGTH.pack(len(body)) + body
        try:
            while data:
                data = data[self._write(self._descriptor, data) :]
        except OSError as error:
            raise PeerGone("the other process is gone") from error

    def receive(self) -> dict[str, Any]:
        """Wait for one message.

        Raises:
            PeerGone: if the other end is closed, or the message is malformed.
        """
        (length,) = _LENGTH.unpack(self._read_exactly(_LENGTH.size))
        if length > _MAX_BYTES:
            raise PeerGone("a message is too large")
        try:
            text = self._read_exactly(length).decode()
            message, end = self._loads(text)
        except (ValueError, RecursionError) as error:
            raise PeerGone("a message is malformed") from error
        if type(message) is not dict or end != len(text):
            raise PeerGone("a message is malformed")
        return message

    def _read_exactly(self, size: int) -> bytes:
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
