"""Parse the inputs and outputs of data rows into calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from omnithinker.errors import DataError
from omnithinker.sandbox.cases import Call


def parse_calls(inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[Call, ...]:
    """Parse [n] calls from as many inputs and outputs.

    An input is a list of positional arguments, an object of keyword arguments, or text with one JSON value per line
    and argument, as in LiveCodeBench. A text output of a text input is JSON too.

    Raises:
        DataError: if an input has another form; names its position.
    """
    return tuple(_parse_call(position, *pair) for position, pair in enumerate(zip(inputs, outputs, strict=True)))


def _parse_call(position: int, call_input: Any, expected: Any) -> Call:
    if isinstance(call_input, str):
        arguments = [_json_value(f"inputs[{position}]", line) for line in call_input.split("\n") if line.strip()]
        if isinstance(expected, str):
            expected = _json_value(f"outputs[{position}]", expected)
        return Call(tuple(arguments), expected)
    if isinstance(call_input, list):
        return Call(tuple(call_input), expected)
    if isinstance(call_input, dict):
        return Call((), expected, call_input)
    raise DataError(
        f"tests.inputs[{position}] must be a list of arguments, an object of keyword arguments, "
        f"or text with one JSON value per line; got {type(call_input).__name__}"
    )


def _json_value(field: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"tests.{field}: {text[:60]!r} is not valid JSON: {error}") from error
