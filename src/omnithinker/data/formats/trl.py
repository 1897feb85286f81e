"""Rows of TRL: a prompt as text or messages, possibly with completions, and further columns."""

from __future__ import annotations

from typing import Any

from omnithinker.data.formats.base import RowFormat
from omnithinker.data.rows import Row
from omnithinker.errors import DataError


def read(row: Row) -> Row:
    """Return the row with a ``prompt``, and a ``reference`` if it has a completion; other columns stay.

    The reference is the completion, the chosen one of a preference, or the last assistant message of ``messages``. The
    prompt of a preference without one is what both completions begin with.
    """
    if row.get("prompt") is not None:
        reference = row.get("chosen", row.get("completion"))
        return _with_reference(row, row["prompt"], reference)
    if row.get("messages") is not None:
        prompt, reply = split_reply(row["messages"])
        return _with_reference(row, prompt, reply)
    chosen, rejected = row.get("chosen"), row.get("rejected")
    if isinstance(chosen, str | list) and isinstance(rejected, type(chosen)):
        shared = _shared_start(chosen, rejected)
        return _with_reference(row, chosen[:shared], chosen[shared:])
    known = ", ".join(map(str, row)) or "none"
    raise DataError(f"no field 'prompt' or 'messages' (fields: {known}); format 'trl' needs a prompt")


def split_reply(messages: Any) -> tuple[Any, Any]:
    """Split a final assistant message, if there is one, from the messages before it."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, dict) and last.get("role") == "assistant":
        return messages[:-1], [last]
    return messages, None


def _with_reference(row: Row, prompt: Any, reference: Any) -> Row:
    if isinstance(reference, list) and reference and isinstance(reference[-1], dict):
        reference = reference[-1].get("content")
    given = {} if not isinstance(reference, str) or row.get("reference") is not None else {"reference": reference}
    return {**row, "prompt": prompt, **given}


def _shared_start(chosen: Any, rejected: Any) -> int:
    """Return the length of the common beginning; of texts, without its last space, as TRL does."""
    for index in range(min(len(chosen), len(rejected))):
        if chosen[index] != rejected[index]:
            return index - 1 if index and chosen[index - 1] == " " else index
    return min(len(chosen), len(rejected))


FORMAT = RowFormat(read)
