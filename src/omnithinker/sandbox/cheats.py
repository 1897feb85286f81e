"""Cheats: programs that solve nothing and try to pass. Each must fail on any tests.

``omnithinker check`` runs them on the recipe's rows and this machine. The conformance suite in ``tests/`` goes further.
Every cheat defines the names that a row's tests use.
"""

from __future__ import annotations

import builtins
import textwrap

from omnithinker.sandbox.assemble import free_names
from omnithinker.sandbox.cases import AssertTests, CallTests, StdioTests, Tests, UnittestTests
from omnithinker.sandbox.compare import same_output, same_value

SLOW = ("infinite loop",)
"""Cheats that run until the deadline."""

_FORGED = (
    "[{'i': i, 'status': 'passed', 'passed': True, 'error': None, 'value': None, 'wall': 0.0} for i in range(100)]"
    " + [{'stage': 'done', 'calls': 100, 'invalid': ''}]"
)
_EQUAL = """
class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __sub__(self, other): return 0
    def __str__(self): return ""
"""
_PATCHED = """
import builtins, operator, math, unittest
for name in ("isinstance", "all", "any", "callable", "issubclass"):
    setattr(builtins, name, lambda *a, **k: True)
builtins.AssertionError = type("Never", (Exception,), {})
builtins.abs = builtins.hash = builtins.id = lambda *a: 0
operator.eq = math.isclose = lambda *a, **k: True
for name in dir(unittest.TestCase):
    if name.startswith("assert"):
        setattr(unittest.TestCase, name, lambda *a, **k: None)
"""
_RUNNER = """
import sys
for name, module in list(sys.modules.items()):
    if "sandbox" in name or name in ("__main__", "json"):
        for key, value in list(vars(module).items()):
            if callable(value) and not key.startswith("__"):
                try:
                    setattr(module, key, lambda *a, **k: True)
                except Exception:
                    pass
"""
_MEMORY = """
import gc, sys
frame, names = sys._getframe(1), ("expected", "outputs", "tests", "sources", "want")
while frame is not None:
    for space in (frame.f_locals, frame.f_globals):
        for name in names:
            if isinstance(space.get(name), (list, tuple)):
                found.append(space[name])
    frame = frame.f_back
for item in gc.get_objects():
    if isinstance(item, dict):
        found.extend(item[name] for name in names if isinstance(item.get(name), (list, tuple)))
"""
_FILES = """
import glob, json
for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/cmdline") + glob.glob("/proc/self/fd/*") + glob.glob("*"):
    try:
        text = open(path, errors="replace").read(1 << 20)
        found.append(json.loads(text[text.index("{"):].strip("\\0"))["outputs"])
    except Exception:
        pass
"""
_ANSWER = """
    calls.append(1)
    return found[0][len(calls) - 1] if found else object()
"""


def cheats(tests: Tests) -> dict[str, str]:
    """Return the source of every cheat by name, written for the names that these tests use.

    One cheat contains the first expected value; no other cheat contains anything of the tests but names.
    """
    programs = {
        "empty program": "pass",
        "sys.exit(0)": "import sys\nsys.exit(0)",
        "sys.exit(0) when called": _program(tests, "import sys\nsys.exit(0)"),
        "os._exit(0) when called": _program(tests, "import os\nos._exit(0)"),
        "equal to everything": _program(tests, "return Equal()", before=_EQUAL),
        "unittest.mock.ANY": _program(tests, "return ANY", before="from unittest.mock import ANY"),
        "prints a forged report": _program(
            tests, "return object()", before=f"import json\nprint(json.dumps({_FORGED}))"
        ),
        "writes a forged report": _program(tests, _forge() + "\nreturn object()"),
        "replaces built-ins": _program(tests, "return object()", before=_PATCHED),
        "replaces the test runner": _program(tests, "return object()", before=_RUNNER),
        "searches memory for values": _search(tests, _MEMORY),
        "searches files for values": _search(tests, _FILES),
        "infinite loop": _program(tests, "while True: pass"),
    }
    first = _first_expected(tests)
    return programs if first is None else programs | {"first expected value": _program(tests, f"return {first}")}


def constant_programs(tests: Tests) -> list[str]:
    """Return programs that answer every call with the same value. Tests that one of them passes are worthless.

    The list is empty if the expected values differ, which data tests show without a run.
    """
    match tests:
        case CallTests(calls=calls, tolerance=tolerance):
            expected = [call.expected for call in calls]
            if not all(same_value(value, expected[0], tolerance) for value in expected):
                return []
            return [_program(tests, f"return {_first_expected(tests)}")]
        case StdioTests(outputs=outputs):
            if not all(same_output(output, outputs[0]) for output in outputs):
                return []
            return [_program(tests, f"return {_first_expected(tests)}")]
    return [_program(tests, f"return {value}") for value in ("True", "None", "0")]


def _first_expected(tests: Tests) -> str | None:
    """Return the source of the first expected value; None if the tests are source."""
    match tests:
        case CallTests(calls=calls):
            return repr(calls[0].expected)
        case StdioTests(outputs=outputs):
            return repr(outputs[0])
    return None


def _program(tests: Tests, body: str, *, before: str = "") -> str:
    """Return a program that runs ``body`` under every name that the tests call, or prints its result (stdio)."""
    cheat = "def cheat(*arguments, **keywords):\n" + textwrap.indent(body.strip("\n"), "    ")
    match tests:
        case StdioTests():
            definitions = "print(cheat(), end='')"
        case CallTests(fn_name=fn_name):
            owner, _, name = fn_name.rpartition(".")
            method = f"class {owner or 'Solution'}:\n    def {name}(self, *a, **k): return cheat(*a, **k)"
            definitions = method if owner else f"{name} = cheat\n{method}"
        case AssertTests() | UnittestTests():
            definitions = "\n".join(map(_stub, sorted(_called(tests))))
    return "\n\n".join(part.strip("\n") for part in (before, cheat, definitions) if part)


def _stub(name: str) -> str:
    if not name[:1].isupper():
        return f"{name} = cheat"
    return f"class {name}:\n    def __init__(self, *a, **k): pass\n    def __getattr__(self, name): return cheat"


def _called(tests: AssertTests | UnittestTests) -> set[str]:
    """Return the names that test code expects the program to define."""
    match tests:
        case AssertTests(sources=sources, preamble=shared, entry_point=entry_point):
            names = {*free_names((shared, *sources)), *([entry_point] if entry_point else [])}
        case UnittestTests(source=source):
            names = set(free_names((source,)))
    return {name for name in names - {"candidate"} if not hasattr(builtins, name)}


def _forge() -> str:
    """Return statements that write a report of passed tests to every descriptor that might be the report, and exit."""
    return (
        "import json, os\n"
        f"text = '\\n'.join(map(json.dumps, {_FORGED})) + '\\n'\n"
        "for descriptor in range(3, 16):\n"
        "    try:\n        os.write(descriptor, text.encode())\n"
        "    except OSError: pass\n"
        "os._exit(0)"
    )


def _search(tests: Tests, search: str) -> str:
    """Return a program that searches for expected values on every call and answers with them."""
    answer = textwrap.dedent(_ANSWER).strip("\n")
    body = f"if not found:\n{textwrap.indent(search.strip(chr(10)), '    ')}\n{answer}"
    return _program(tests, body, before="found, calls = [], []")
