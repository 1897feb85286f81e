"""Rows of ShareGPT: ``conversations`` of ``{"from", "value"}``."""

from __future__ import annotations

from typing import Any

from omnithinker.data.formats.base import RowFormat
from omnithinker.data.formats.trl import split_reply
from omnithinker.data.rows import Row
from omnithinker.errors import DataError
from omnithinker.io.parsing import json_type

ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "assistant": "assistant",
}
"""Role of a message by ``from``."""


def read(row: Row) -> Row:
    """Return the row with ``prompt``, the messages up to the last user message, and ``reference``, the reply to it.

    A column ``system`` becomes the first message, unless the conversation has a system message.
    """
    name = next((name for name in ("conversations", "conversation") if row.get(name) is not None), None)
    if name is None:
        raise DataError(f"no field 'conversations' (fields: {', '.join(map(str, row)) or 'none'})")
    if not isinstance(row[name], list) or not row[name]:
        raise DataError(f"field {name!r} must be a list of messages, got {json_type(row[name])}")
    messages = [_message(entry, f"{name}.{index}") for index, entry in enumerate(row[name])]
    system = row.get("system")
    if isinstance(system, str) and system and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    prompt, reply = split_reply(messages)
    rest = {key: value for key, value in row.items() if key != name}
    return {**rest, "prompt": prompt} | ({"reference": reply[0]["content"]} if reply else {})


def _message(entry: Any, field: str) -> dict[str, Any]:
    if not isinstance(entry, dict) or not isinstance(entry.get("from"), str) or "value" not in entry:
        raise DataError(f'field {field!r} must be an object like {{"from": "human", "value": ...}}')
    role = ROLES.get(entry["from"].lower())
    if role is None:
        raise DataError(f"field '{field}.from': unknown speaker {entry['from']!r}; known: {', '.join(ROLES)}")
    return {"role": role, "content": entry["value"]}


FORMAT = RowFormat(read)
