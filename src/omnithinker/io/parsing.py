"""Strict reading of JSON and TOML from outside: what the libraries let pass or fail on is an error with a message."""

from __future__ import annotations

import json
import math
import tomllib
from typing import Any

from omnithinker.errors import DataError

_TOO_DEEP = "nested too deeply"
_TOO_LONG = "a number has too many digits"


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; unlike :func:`json.loads`, refuse duplicate keys and numbers that are not finite.

    Raises:
        DataError: if it is not such JSON; the message has no place.
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_float=_finite, parse_constant=_refuse_constant)
    except DataError:
        raise
    except json.JSONDecodeError as error:
        raise DataError(f"not valid JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"not valid JSON: not a text (byte {error.start} is not UTF-8)") from error
    except ValueError as error:
        raise DataError(f"not valid JSON: {_TOO_LONG}") from error
    except RecursionError as error:
        raise DataError(f"not valid JSON: {_TOO_DEEP}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        DataError: if it is not valid; the message has no place.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"not valid TOML: {error}") from error
    except RecursionError as error:
        raise DataError(f"not valid TOML: {_TOO_DEEP}") from error
    except ValueError as error:
        raise DataError(f"not valid TOML: {_TOO_LONG if 'digits' in str(error) else error}") from error


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
