"""Parse the ``tests`` field of data rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from omnithinker.errors import DataError
from omnithinker.sandbox.call_rows import parse_calls
from omnithinker.sandbox.cases import CallTests, StdioTests, Tests
from omnithinker.sandbox.compare import TOLERANCE
from omnithinker.sandbox.datasets import from_dataset
from omnithinker.sandbox.functional import parse_asserts, parse_functional


def parse_tests(row_field: Any) -> Tests:
    """Parse a row's ``tests`` field.

    Args:
        row_field: an object or a list, or a JSON string of one. Accepted forms: ``{"fn_name", "inputs", "outputs"}``
            (calls; an input is a list of positional arguments, an object of keyword arguments, or text with one JSON
            value per line; ``tolerance`` is optional), ``{"inputs", "outputs"}`` (standard input and output),
            ``{"functional": source}``, a list of assert statements, a list of ``{"input", "output"}`` objects, and
            the fields of LiveCodeBench, HumanEval and BigCodeBench rows; see
            :func:`omnithinker.sandbox.datasets.from_dataset`.

    Raises:
        DataError: if the field has another form or holds no test; names the key.
    """
    value = _from_json(row_field)
    if isinstance(value, list):
        return _from_list(value)
    if not isinstance(value, dict):
        raise DataError(f"tests must be an object or a list, got {type(value).__name__}")
    if isinstance(value.get("functional"), str):
        return parse_functional(value["functional"])
    if (tests := from_dataset(value)) is not None:
        return tests
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
        return parse_asserts(items)
    if all(isinstance(item, dict) and isinstance(item.get("input"), str) for item in items):
        outputs = [item.get("output") for item in items]
        return parse_tests({"inputs": [item["input"] for item in items], "outputs": outputs})
    raise DataError("a list of tests must contain assert statements, or objects with text 'input' and 'output'")


def _lists(value: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    for name in ("inputs", "outputs"):
        if not isinstance(value.get(name), list):
            keys = ", ".join(map(str, value)) or "nothing"
            raise DataError(f"tests need a list {name!r} (or 'functional'); found {keys}")
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
        raise DataError(f"tests.tolerance must be a number of at least 0, got {tolerance!r}")
    return CallTests(fn_name, parse_calls(inputs, outputs), float(tolerance))
