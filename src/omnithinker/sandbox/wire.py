"""Tests and results as JSON, for backends that run in a trusted peer process."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from omnithinker.sandbox.cases import AssertTests, Call, CallTests, StdioTests, Tests, UnittestTests
from omnithinker.sandbox.inside.codec import decode, encode
from omnithinker.sandbox.result import Result, Status, TestResult, Trust


def tests_to_json(tests: Tests) -> dict[str, Any]:
    """Return tests as JSON-ready data, expected values included."""
    match tests:
        case CallTests():
            calls = [encode([list(call.arguments), dict(call.keywords), call.expected]) for call in tests.calls]
            return {"kind": "call", "fn_name": tests.fn_name, "calls": calls, "tolerance": tests.tolerance}
        case StdioTests():
            return {"kind": "stdio", "inputs": tests.inputs, "outputs": tests.outputs}
        case AssertTests():
            return {"kind": "assert", **asdict(tests)}
        case UnittestTests():
            return {"kind": "unittest", **asdict(tests)}


def tests_from_json(data: dict[str, Any]) -> Tests:
    """Invert :func:`tests_to_json`.

    Raises:
        KeyError, ValueError: if the data has another form.
    """
    match data["kind"]:
        case "call":
            decoded = [decode(item) for item in data["calls"]]
            calls = tuple(Call(tuple(arguments), expected, keywords) for arguments, keywords, expected in decoded)
            return CallTests(data["fn_name"], calls, data["tolerance"])
        case "stdio":
            return StdioTests(tuple(data["inputs"]), tuple(data["outputs"]))
        case "assert":
            return AssertTests(tuple(data["sources"]), data["preamble"], data["entry_point"])
        case "unittest":
            return UnittestTests(data["source"], tuple(data["names"]))
    raise ValueError(f"unknown kind of tests {data['kind']!r}")


def result_to_json(result: Result) -> dict[str, Any]:
    """Return a result as JSON-ready data."""
    return asdict(result)


def result_from_json(data: dict[str, Any]) -> Result:
    """Invert :func:`result_to_json`.

    Raises:
        KeyError, TypeError, ValueError: if the data has another form.
    """
    tests = tuple(TestResult(**{**test, "status": Status(test["status"])}) for test in data["tests"])
    typed = {"status": Status(data["status"]), "trust": Trust(data["trust"]), "tests": tests}
    return Result(**{**data, **typed, "layers": tuple(data["layers"])})
