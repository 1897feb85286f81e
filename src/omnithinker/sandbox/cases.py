"""Tests of programs: their kinds, and how data-set rows become them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omnithinker.errors import DataError
from omnithinker.sandbox.compare import TOLERANCE


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the function under test and what it must return."""

    arguments: tuple[Any, ...]
    """Positional arguments, plain data."""
    expected: Any
    """Plain data; never sent to the program."""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments."""


@dataclass(frozen=True, slots=True)
class CallTests:
    """Calls of one function, or of one method of a new ``Solution`` each time."""

    fn_name: str
    """``name``, or ``Class.name`` for a method of another class."""
    calls: tuple[Call, ...]
    """At least one."""
    tolerance: float = TOLERANCE
    """See :func:`omnithinker.sandbox.compare.same_value`."""

    def __len__(self) -> int:
        return len(self.calls)


@dataclass(frozen=True, slots=True)
class StdioTests:
    """Whole-program runs: text on standard input, expected text on standard output."""

    inputs: tuple[str, ...]
    """[n] standard input of each test."""
    outputs: tuple[str, ...]
    """[n] expected standard output, never sent to the program."""

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True)
class AssertTests:
    """Test code that calls the program and asserts; it runs in a process of its own, the judge."""

    sources: tuple[str, ...]
    """[n] each is one test, run after ``preamble`` in one namespace."""
    preamble: str = ""
    """Definitions that the tests share."""
    entry_point: str | None = None
    """Function that the tests know as ``candidate``, and that may bear the name of a built-in one."""

    def __len__(self) -> int:
        return len(self.sources)


Tests = CallTests | StdioTests | AssertTests
"""What :meth:`Sandbox.run` takes."""


def parse_tests(row_field: Any) -> Tests:
    """Read a row's ``tests``.

    Args:
        row_field: an object, or a JSON string of one: ``{"fn_name", "inputs", "outputs"}`` (calls; an input is a
            list of positional arguments, an object of keyword arguments, or text with one JSON value per line),
            ``{"inputs", "outputs"}`` (standard input and output), ``{"functional": source}``; or a list of assert
            statements, or of ``{"input", "output"}`` objects. Optional: ``tolerance``.

    Raises:
        DataError: it is none of these, or has no test; says which key.
    """
    value = _from_json(row_field)
    if isinstance(value, list):
        return _from_list(value)
    if not isinstance(value, dict):
        raise DataError(f"tests must be an object or a list, got {type(value).__name__}")
    if isinstance(value.get("functional"), str):
        from omnithinker.sandbox.functional import parse_functional

        return parse_functional(value["functional"])
    inputs, outputs = _lists(value)
    if value.get("fn_name"):
        return _calls(value, inputs, outputs)
    for name, items in (("inputs", inputs), ("outputs", outputs)):
        for position, item in enumerate(items):
            if not isinstance(item, str):
                raise DataError(f"tests.{name}[{position}] must be text, or give 'fn_name' for calls")
    return StdioTests(tuple(inputs), tuple(outputs))


def _from_json(row_field: Any) -> Any:
    if not isinstance(row_field, str):
        return row_field
    try:
        return json.loads(row_field)
    except (ValueError, RecursionError) as error:
        raise DataError(f"tests are not valid JSON: {error}") from error


def _from_list(items: list[Any]) -> Tests:
    if not items:
        raise DataError("tests are empty; a row needs at least one test")
    if all(isinstance(item, str) for item in items):
        from omnithinker.sandbox.functional import parse_asserts

        return parse_asserts(items)
    if all(isinstance(item, dict) and isinstance(item.get("input"), str) for item in items):
        outputs = [item.get("output") for item in items]
        return parse_tests({"inputs": [item["input"] for item in items], "outputs": outputs})
    raise DataError("a list of tests must hold assert statements, or objects with 'input' and 'output'")


def _lists(value: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    for name in ("inputs", "outputs"):
        if not isinstance(value.get(name), list):
            known = ", ".join(map(str, value)) or "nothing"
            raise DataError(f"tests need a list {name!r} (or 'functional'); they have {known}")
    inputs, outputs = value["inputs"], value["outputs"]
    if len(inputs) != len(outputs):
        raise DataError(f"tests have {len(inputs)} inputs but {len(outputs)} outputs")
    if not inputs:
        raise DataError("tests are empty; a row needs at least one test")
    return inputs, outputs


def _calls(value: Mapping[str, Any], inputs: list[Any], outputs: list[Any]) -> CallTests:
    fn_name, tolerance = value["fn_name"], value.get("tolerance", TOLERANCE)
    if not isinstance(fn_name, str) or not all(part.isidentifier() for part in fn_name.split(".")):
        raise DataError(f"tests.fn_name {fn_name!r} is not the name of a function")
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise DataError(f"tests.tolerance must be a number from 0 up, got {tolerance!r}")
    calls = [_call(position, a, b) for position, (a, b) in enumerate(zip(inputs, outputs, strict=True))]
    return CallTests(fn_name, tuple(calls), float(tolerance))


def _call(position: int, given: Any, expected: Any) -> Call:
    if isinstance(given, str):
        # LiveCodeBench: one JSON value per line and argument, and the expected value as JSON.
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
