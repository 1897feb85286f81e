"""Rendering a row as chat messages: templates over its fields, and lists of messages as they are."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omnithinker.data.paths import look_up
from omnithinker.errors import DataError
from omnithinker.io.parsing import json_type

Message = Mapping[str, str]
"""``{"role", "content"}`` of a message."""
ROLES = ("system", "developer", "user", "assistant", "tool")
"""Known roles of messages."""
LONGEST_LITERAL = 1_000_000
"""Characters up to which a text is examined for being a Python list."""
PROMPT, DEMONSTRATION = "prompt template", "demonstration template"
"""Kinds of templates."""
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_REPR = re.compile(r"\[?\s*\{'.*\}\s*\]?", re.DOTALL)


def render(template: str, system: str | None, row: Mapping[str, Any], place: str) -> tuple[Message, ...]:
    """Render the messages that a model answers, the last of which is the user's.

    A field of the template that is a list of messages stands for the content of its last message. The messages before
    it stay as they are.

    Args:
        template: Template of the user message, see :func:`fill`.
        system: System message, in place of the row's; an empty text removes the row's, None keeps it.
        row: Data row.
        place: File and line of the row, for messages.

    Raises:
        DataError: if a field is missing or unusable, or the text is that of a Python list or object.
    """
    chats = [name for name in dict.fromkeys(_PLACEHOLDER.findall(template)) if _is_chat(_value(row, name, place)[1])]
    if len(chats) > 1:
        raise DataError(
            f"{place}: fields {' and '.join(map(repr, chats))} are lists of messages; use one in the prompt"
        )
    before: list[Message] = []
    given: dict[str, str] = {}
    for name in chats:
        shown, value = _value(row, name, place)
        *before, last = read_messages(value, shown, place)
        given[name] = last["content"]

    def value_of(name: str) -> str:
        text = given[name] if name in given else _text(row, name, place, PROMPT)
        check_text(text, name, place)
        return text

    text = _filled(template, value_of, place)
    if system is not None:
        before = [message for message in before if message["role"] != "system"]
        before = ([{"role": "system", "content": system}] if system else []) + before
    return (*before, {"role": "user", "content": text})


def fill(template: str, row: Mapping[str, Any], place: str, use: str = PROMPT) -> str:
    """Replace ``{field}`` in a template by that field of the row; other braces stay (LaTeX, code).

    Args:
        template: Text with placeholders, which may be dotted paths.
        row: Data row.
        place: File and line of the row, for messages.
        use: The kind of template, for messages.

    Raises:
        DataError: if the row lacks a field that the template names, one is neither text nor a number (in a
            demonstration also a list of one assistant message), or all are empty.
    """
    return _filled(template, lambda name: _text(row, name, place, use), place)


def _filled(template: str, value_of: Callable[[str], str], place: str) -> str:
    values: dict[str, str] = {}

    def value(match: re.Match[str]) -> str:
        values[match[1]] = value_of(match[1])
        return values[match[1]]

    text = _PLACEHOLDER.sub(value, template)
    if values and not any(map(str.strip, values.values())):
        raise DataError(f"{place}: field {' and '.join(map(repr, values))} is empty, so there is nothing to ask")
    return text


def _value(row: Mapping[str, Any], name: str, place: str, use: str = PROMPT) -> tuple[str, Any]:
    """Return the value of a placeholder, and the field that it is; ``messages`` stands in for a missing ``prompt``."""
    if name == "prompt" and row.get("prompt") is None and row.get("messages") is not None:
        name = "messages"
    try:
        return name, look_up(row, name)
    except DataError as error:
        message = str(error).replace(f"no field {name!r}", f"no field {name!r}, which the {use} uses", 1)
        raise DataError(f"{place}: {message}") from error


def _text(row: Mapping[str, Any], name: str, place: str, use: str) -> str:
    name, value = _value(row, name, place, use)
    if use == DEMONSTRATION and _is_chat(value):
        return _reply(value, name, place)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        advice = ""
        if isinstance(value, list) and value and all(isinstance(entry, Mapping) and "from" in entry for entry in value):
            advice = "; of messages with 'from' and 'value', set format = \"sharegpt\""
        raise DataError(
            f"{place}: field {name!r}, which the {use} uses, must be text or a number, not {json_type(value)}{advice}"
        )
    return str(value)


def _reply(messages: Sequence[Mapping[str, Any]], field: str, place: str) -> str:
    """Return the content of a completion that is a list of one message, the assistant's."""
    if len(messages) > 1 or messages[0]["role"] != "assistant":
        roles = ", ".join(str(message["role"]) for message in messages)
        raise DataError(
            f"{place}: field {field!r}, which the {DEMONSTRATION} uses, must hold one message, the assistant's; "
            f"it has the roles {roles}"
        )
    return _message(messages[0], f"{field}.0", place)["content"]


def _is_chat(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(entry, Mapping) and "role" in entry and "content" in entry for entry in value)
    )


def read_messages(value: Sequence[Any], field: str, place: str) -> list[Message]:
    """Read a list of messages that ends with the user's; contents that are lists of text parts are joined.

    Args:
        value: The list.
        field: Its field, for messages.
        place: File and line of the row, for messages.

    Raises:
        DataError: if a message has an unknown role, content that is not text, or calls of tools, or the last message is
            not the user's.
    """
    messages = [_message(entry, f"{field}.{index}", place) for index, entry in enumerate(value)]
    if (role := messages[-1]["role"]) != "user":
        raise DataError(
            f"{place}: field {field!r} ends with a message of role {role!r}; a prompt ends with the user's, so remove "
            "the reply" + (', or set format = "trl", which reads it as the reference' if role == "assistant" else "")
        )
    return messages


def _message(entry: Mapping[str, Any], field: str, place: str) -> Message:
    role = entry["role"]
    if role not in ROLES:
        raise DataError(f"{place}: field '{field}.role': unknown role {role!r}; known: {', '.join(ROLES)}")
    if entry.get("tool_calls"):
        raise DataError(f"{place}: field '{field}.tool_calls': calls of tools are not supported; remove the row")
    content = entry["content"]
    if isinstance(content, list):
        content = "".join(_part(part, f"{field}.content.{index}", place) for index, part in enumerate(content))
    if not isinstance(content, str):
        raise DataError(f"{place}: field '{field}.content' must be text, got {json_type(content)}")
    check_text(content, f"{field}.content", place)
    return {"role": role, "content": content}


def _part(part: Any, field: str, place: str) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else json_type(part)
    if kind != "text" or not isinstance(part.get("text"), str):
        raise DataError(f"{place}: field {field!r}: only parts of type 'text' can be used, not {kind!r}")
    text: str = part["text"]
    return text


def check_text(text: str, field: str, place: str) -> None:
    """Refuse the text of a Python list or object, which other programs write where they lack a table with lists.

    Refused is what Python writes and JSON does not, such as ``['a', 'b']`` or ``{'a': 1}``, and any text of a list of
    messages. Lists of numbers stay: they look the same in prose, Python and JSON.

    Raises:
        DataError: if it is one.
    """
    bare = text.strip()
    if len(bare) > LONGEST_LITERAL or not bare.startswith(("[", "{")) or not bare.endswith(("]", "}")):
        return
    try:
        value, python = json.loads(bare), False
    except (ValueError, RecursionError):
        value, python = _literal(bare), True
    messages = isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)
    if messages and all({"role", "content"} <= set(v) or {"from", "value"} <= set(v) for v in value):
        what = "a list of messages"
    elif python and ((isinstance(value, list | dict) and value) or _REPR.fullmatch(bare)):
        what = "a Python object" if bare.startswith("{") else "a Python list"
    else:
        return
    raise DataError(
        f"{place}: field {field!r} is the text of {what} ({bare[:40]}...); store the value itself, in JSON Lines or "
        "Parquet"
    )


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
