"""Tests and results as JSON, for backends in which a trusted peer of ours runs somewhere else."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from omnithinker.sandbox.cases import AssertTests, Call, CallTests, StdioTests, Tests, UnittestTests
from omnithinker.sandbox.inside.codec import decode, encode
from omnithinker.sandbox.result import Result, Status, TestResult, Trust


def tests_to_json(tests: Tests) -> dict[str, Any]:
    """JSON-ready form of tests, expected values included."""
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
    """The inverse of :func:`tests_to_json`.

    Raises:
        KeyError, ValueError: the data is of another form.
    """
    match data["kind"]:
        case "call":
            calls = [decode(item) for item in data["calls"]]
            made = tuple(Call(tuple(arguments), expected, keywords) for arguments, keywords, expected in calls)
            return CallTests(data["fn_name"], made, data["tolerance"])
        case "stdio":
            return StdioTests(tuple(data["inputs"]), tuple(data["outputs"]))
        case "assert":
            return AssertTests(tuple(data["sources"]), data["preamble"], data["entry_point"])
        case "unittest":
            return UnittestTests(data["source"], tuple(data["names"]))
    raise ValueError(f"unknown kind of tests {data['kind']!r}")


def result_to_json(result: Result) -> dict[str, Any]:
    """JSON-ready form of a result."""
    return asdict(result)


def result_from_json(data: dict[str, Any]) -> Result:
    """The inverse of :func:`result_to_json`.

    Raises:
        KeyError, TypeError, ValueError: the data is of another form.
    """
    tests = tuple(TestResult(**{**test, "status": Status(test["status"])}) for test in data["tests"])
    known = {"status": Status(data["status"]), "trust": Trust(data["trust"]), "tests": tests}
    return Result(**{**data, **known, "layers": tuple(data["layers"])})
