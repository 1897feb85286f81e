"""Parse rows of LiveCodeBench, HumanEval and BigCodeBench, recognized by their fields."""

from __future__ import annotations

import ast
import base64
import json
import pickletools
import zlib
from collections.abc import Mapping
from typing import Any

from omnithinker.errors import DataError
from omnithinker.sandbox.call_rows import parse_calls
from omnithinker.sandbox.cases import AssertTests, CallTests, StdioTests, Tests, UnittestTests
from omnithinker.sandbox.compare import TOLERANCE

_MAX_UNPACKED_BYTES = 1 << 28


_TEXT = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
"""Opcodes of a pickle with a text."""
_AROUND = ("PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP")
"""All other opcodes of a pickle that is one text."""


def from_dataset(row: Mapping[str, Any]) -> Tests | None:
    """Parse the tests of a row; return None for a row of any other data set.

    LiveCodeBench: ``public_test_cases``, ``private_test_cases`` and ``metadata``. HumanEval: ``test`` with a function
    ``check``, and ``entry_point``. BigCodeBench: ``test`` with a class of ``unittest``.

    Raises:
        DataError: if a row of one of these data sets is malformed.
    """
    if "public_test_cases" in row or "private_test_cases" in row:
        return _live_code_bench(row)
    if isinstance(row.get("test"), str):
        return _from_source(row["test"], row.get("entry_point"))
    return None


def _live_code_bench(row: Mapping[str, Any]) -> Tests:
    names = ("public_test_cases", "private_test_cases")
    cases = [case for name in names for case in _cases(name, row.get(name))]
    for case in cases:
        if not isinstance(case, dict) or not isinstance(case.get("input"), str) or "output" not in case:
            raise DataError("tests: a case of LiveCodeBench needs 'input' and 'output' as text")
    if not cases:
        raise DataError("tests are empty; a row needs at least one test")
    inputs, outputs = [case["input"] for case in cases], [case["output"] for case in cases]
    if not any(case.get("testtype") == "functional" for case in cases):
        return StdioTests(tuple(inputs), tuple(map(str, outputs)))
    metadata = _json("metadata", row.get("metadata") or "{}")
    name = metadata.get("func_name") if isinstance(metadata, dict) else None
    if not isinstance(name, str):
        raise DataError("tests: functional cases of LiveCodeBench need metadata with 'func_name'")
    return CallTests(name, parse_calls(inputs, outputs), TOLERANCE)


def _cases(name: str, value: Any) -> list[Any]:
    """Read a list of cases: plain, as JSON, or as JSON in a pickle, compressed, in base64."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = _json(name, _unpack(name, value))
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"tests.{name} is not a list of cases")
    return value


def _unpack(name: str, text: str) -> str:
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _MAX_UNPACKED_BYTES)
        return _pickled_text(data)
    except (ValueError, zlib.error) as error:
        raise DataError(f"tests.{name} is neither JSON nor in LiveCodeBench's packed format: {error}") from error


def _pickled_text(data: bytes) -> str:
    """Return the text of a pickle. Nothing is unpickled, as that could run code or take any amount of memory.

    Raises:
        ValueError: if it holds anything else.
    """
    texts = []
    for opcode, value, _ in pickletools.genops(data):
        if opcode.name in _TEXT:
            texts.append(str(value))
        elif opcode.name not in _AROUND:
            raise ValueError(f"its pickle holds more than a text ({opcode.name})")
    if len(texts) != 1:
        raise ValueError(f"its pickle holds {len(texts)} texts")
    return texts[0]


def _json(name: str, value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise DataError(f"tests.{name} is not valid JSON: {error}") from error


def _from_source(source: str, entry_point: Any) -> Tests:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"tests.test does not parse: {error}") from error
    if any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body):
        if not isinstance(entry_point, str) or not entry_point.isidentifier():
            raise DataError("tests with a function 'check' need 'entry_point', the name of the function to test")
        return AssertTests((f"{source}\ncheck(candidate)",), entry_point=entry_point)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and _is_test_case(node)]
    names = tuple(f"{node.name}.{name}" for node in classes for name in _methods(node))
    if not names:
        raise DataError("tests.test has neither a function 'check' nor a unittest class with tests")
    return UnittestTests(source, names)


def _is_test_case(node: ast.ClassDef) -> bool:
    return any("TestCase" in ast.unparse(base) for base in node.bases)


def _methods(node: ast.ClassDef) -> list[str]:
    functions = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
    return [name for name in functions if name.startswith("test")]
