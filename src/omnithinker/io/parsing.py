"""Strict reading of JSON and TOML from outside: what the libraries let pass or fail on is an error with a message."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable
from typing import Any

from omnithinker.errors import DataError

DEEPEST = 200
"""Most levels of lists and objects within each other; what reads them calls itself once or more per level."""
TOO_DEEP = f"nested too deeply (more than {DEEPEST} levels)"
"""Message about a deeper one."""
_TOO_LONG = "a number has too many digits"


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; unlike :func:`json.loads`, refuse duplicate keys and numbers that are not finite.

    Raises:
        DataError: if it is not such JSON; the message has no place.
    """
    try:
        value = json.loads(text, object_pairs_hook=_distinct, parse_float=_finite, parse_constant=_refuse_constant)
        if not _is_shallow_text(text) and not is_shallow(value):
            raise RecursionError
        return value
    except DataError:
        raise
    except json.JSONDecodeError as error:
        raise DataError(f"not valid JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"not valid JSON: not a text (byte {error.start} is not UTF-8)") from error
    except ValueError as error:
        raise DataError(f"not valid JSON: {_TOO_LONG}") from error
    except RecursionError as error:
        raise DataError(f"not valid JSON: {TOO_DEEP}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        DataError: if it is not valid; the message has no place.
    """
    try:
        table = tomllib.loads(text)
        if not is_shallow(table):
            raise RecursionError
        return table
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"not valid TOML: {error}") from error
    except RecursionError as error:
        raise DataError(f"not valid TOML: {TOO_DEEP}") from error
    except ValueError as error:
        raise DataError(f"not valid TOML: {_TOO_LONG if 'digits' in str(error) else error}") from error


def is_shallow(value: Any) -> bool:
    """Return True if lists and objects are nested in at most :data:`DEEPEST` levels."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return True
    return False


def _children(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _is_shallow_text(text: str | bytes) -> bool:
    """Return True if a text opens so few lists and objects that it need not be examined; cheaper than to examine."""
    if isinstance(text, str):
        return text.count("[") + text.count("{") <= DEEPEST
    return text.count(b"[") + text.count(b"{") <= DEEPEST


def json_type(value: Any) -> str:
    """Return the name of a value's type, with an article if it has one."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    distinct = dict(pairs)
    if len(distinct) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DataError(f"{json.dumps(twice)} occurs twice in one object; remove one")
    return distinct


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise DataError(f"{text[:40]} is too large for a number")
    return number


def _refuse_constant(text: str) -> Any:
    raise DataError(f"{text} is not a number in JSON; use null, or leave the field out")
