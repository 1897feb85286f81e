"""Compare a program's answers with the expected ones: trusted code, on plain data of exact built-in types."""

from __future__ import annotations

import math
import re
from collections import deque
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

TOLERANCE = 1e-9
"""Largest difference from an expected float, absolute or relative to it."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def same_value(got: Any, expected: Any, tolerance: float = TOLERANCE) -> bool:
    """Return True if a returned value equals the expected one.

    Equality is Python's ``==`` except that tuples and deques equal lists of the same items (JSON has neither), numbers
    equal an expected float within ``tolerance``, NaN equals NaN, and keys of an expected JSON object also match in
    their JSON spelling. An expected integer is exact.
    """
    if isinstance(expected, float):
        return _same_number(got, expected, tolerance)
    if isinstance(expected, list | tuple):
        return (
            isinstance(got, list | tuple | deque)
            and len(got) == len(expected)
            and all(same_value(a, b, tolerance) for a, b in zip(got, expected, strict=True))
        )
    if isinstance(expected, dict):
        return isinstance(got, dict) and _same_dict(got, expected, tolerance)
    return bool(got == expected)


def _same_number(got: Any, expected: float, tolerance: float) -> bool:
    if not isinstance(got, int | float | Fraction | Decimal):
        return False
    if got == expected:
        return True
    try:
        a, b = float(got), expected
    except OverflowError:
        return False
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if math.isinf(a) or math.isinf(b):
        return False
    return abs(a - b) <= tolerance * max(1.0, abs(b))


def _same_dict(got: dict[Any, Any], expected: dict[Any, Any], tolerance: float) -> bool:
    if got.keys() != expected.keys() and all(isinstance(key, str) for key in expected):
        got = {_json_key(key): value for key, value in got.items()}
    return got.keys() == expected.keys() and all(same_value(got[k], expected[k], tolerance) for k in expected)


def _json_key(key: Any) -> Any:
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return str(key) if isinstance(key, int | float) else key


def same_output(got: str, expected: str) -> bool:
    """Return True if printed text equals the expected text by LiveCodeBench's rule.

    Whitespace around the text and around each line is ignored; the number of lines counts. Lines that differ as text
    are equal if all their tokens are decimal numbers, in ASCII digits, of equal value (``1.0`` and ``1``).
    """
    got_lines, expected_lines = got.strip().split("\n"), expected.strip().split("\n")
    return len(got_lines) == len(expected_lines) and all(
        _same_line(a.strip(), b.strip()) for a, b in zip(got_lines, expected_lines, strict=True)
    )


def _same_line(got: str, expected: str) -> bool:
    if got == expected:
        return True
    numbers = _numbers(expected)
    return numbers is not None and _numbers(got) == numbers


def _numbers(line: str) -> list[Decimal] | None:
    tokens = line.split()
    if not all(_NUMBER.fullmatch(token) for token in tokens):
        return None
    try:
        return [Decimal(token) for token in tokens]
    except InvalidOperation:  # an exponent beyond the range of the type
        return None
