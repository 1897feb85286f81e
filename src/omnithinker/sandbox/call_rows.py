"""Inputs and outputs of data rows as calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from omnithinker.errors import DataError
from omnithinker.sandbox.cases import Call


def parse_calls(inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[Call, ...]:
    """[n] calls from as many inputs and outputs.

    An input is a list of positional arguments, an object of keyword arguments, or text with one JSON value per line
    and argument, as LiveCodeBench writes it; then the output is JSON too.

    Raises:
        DataError: one is something else; names its position.
    """
    return tuple(_call(position, *pair) for position, pair in enumerate(zip(inputs, outputs, strict=True)))


def _call(position: int, given: Any, expected: Any) -> Call:
    if isinstance(given, str):
        arguments = [_json_value(f"inputs[{position}]", line) for line in given.split("\n") if line.strip()]
        if isinstance(expected, str):
            expected = _json_value(f"outputs[{position}]", expected)
        return Call(tuple(arguments), expected)
    if isinstance(given, list):
        return Call(tuple(given), expected)
    if isinstance(given, dict):
        return Call((), expected, given)
    raise DataError(
        f"tests.inputs[{position}] must be a list of arguments, an object of keyword arguments, "
        f"or text with one JSON value per line; got {type(given).__name__}"
    )


def _json_value(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"tests.{place}: {text[:60]!r} is not JSON: {error}") from error
