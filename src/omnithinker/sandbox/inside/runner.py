"""What a confined child does with a request: run a program on inputs and report what came back.

The report is data, one JSON line per finished test; whether a result is right is decided elsewhere. Nothing in
here is secret, and a program may forge any line: it gains nothing without knowing the expected values.
"""

from __future__ import annotations

import json
import os
import sys
import time
import types
from collections.abc import Callable
from typing import Any

from .codec import decode, encode

_ERROR_CHARACTERS = 300


class Reporter:
    """Writes report lines to a descriptor with functions taken before the program could replace them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._write = os.write
        self._dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

    def send(self, **line: Any) -> None:
        """Write one line."""
        data = self._dumps(line).encode() + b"\n"
        while data:
            data = data[self._write(self._descriptor, data) :]


def serve(request: dict[str, Any], names: dict[str, Any], reporter: Reporter) -> None:
    """Run one request to its end.

    Args:
        request: ``mode`` (``call`` or ``stdio``), ``code``, and for calls ``fn_name`` and encoded ``calls``.
        names: the preamble.
        reporter: where results go.
    """
    module = types.ModuleType("__main__" if request["mode"] == "stdio" else "solution")
    module.__dict__.update(names)
    sys.modules[module.__name__] = module
    try:
        code = compile(request["code"], "<solution>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reporter.send(stage="compile", error=describe(error))
        return
    if request["mode"] == "stdio":
        _run_stdio(code, module, reporter)
    else:
        _run_calls(code, module, request, reporter)


def describe(error: BaseException) -> str:
    """Type and message of an exception, shortened; never fails."""
    kind = type(error).__name__
    try:
        text = str(error)
    except BaseException:
        text = "(its message could not be made)"
    return f"{kind}: {text}"[:_ERROR_CHARACTERS]


def _run_stdio(code: types.CodeType, module: types.ModuleType, reporter: Reporter) -> None:
    try:
        exec(code, module.__dict__)
    except SystemExit as end:
        if end.code not in (None, 0):
            reporter.send(stage="run", error=describe(end))
            return
    except BaseException as error:
        reporter.send(stage="run", error=describe(error))
        return
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    if "atexit" in sys.modules:
        sys.modules["atexit"]._run_exitfuncs()
    sys.stdout.flush()
    reporter.send(stage="done")


def _run_calls(code: types.CodeType, module: types.ModuleType, request: dict[str, Any], reporter: Reporter) -> None:
    try:
        exec(code, module.__dict__)
        make = find_function(module, request["fn_name"])
    except BaseException as error:
        reporter.send(stage="load", error=describe(error))
        return
    clock = time.perf_counter
    for index, (arguments, keywords) in enumerate(request["calls"]):
        arguments, keywords = decode(arguments), decode(keywords)
        start = clock()
        try:
            value = encode(make()(*arguments, **keywords))
        except BaseException as error:
            reporter.send(i=index, error=describe(error), wall=clock() - start)
        else:
            reporter.send(i=index, value=value, wall=clock() - start)
    reporter.send(stage="done")


def find_function(module: types.ModuleType, name: str) -> Callable[[], Any]:
    """A maker of the function under test: of the module, or a method of a new ``Solution``.

    Raises:
        NameError: neither exists.
    """
    owner, _, attribute = name.rpartition(".")
    container: Any = module
    for part in owner.split(".") if owner else ():
        container = getattr(container, part)
    if hasattr(container, attribute) and not isinstance(container, type):
        function = getattr(container, attribute)
        return lambda: function
    solution = container if isinstance(container, type) else getattr(module, "Solution", None)
    if solution is None or not hasattr(solution, attribute):
        raise NameError(f"the program defines no function {name!r}")
    return lambda: getattr(solution(), attribute)
