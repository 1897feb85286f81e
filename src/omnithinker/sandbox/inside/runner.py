"""What a confined child does with a request: run a program on inputs and report what came back.

The report is data, one JSON line per finished test; whether a result is right is decided elsewhere. Nothing in
here is secret, and a program may forge any line: it gains nothing without knowing the expected values.
"""

from __future__ import annotations

import marshal
import os
import sys
import time
import types
from collections.abc import Callable
from typing import Any

from omnithinker.sandbox.inside.channel import Channel, PeerGone
from omnithinker.sandbox.inside.codec import decode, encode
from omnithinker.sandbox.inside.judge import run_tests
from omnithinker.sandbox.inside.report import Reporter, describe
from omnithinker.sandbox.inside.solver import Solver

REQUEST, REPORT, CONNECTION = 3, 4, 5
"""Descriptors of a child of the fork server: marshalled request, report, and of a pair the other end."""


def answer(names: dict[str, Any], reporter: Reporter, channel: Channel | None = None) -> None:
    """Read the request from its descriptor and run it; see :func:`serve`."""
    # From our own side and in the interpreter's own format: reading JSON touches twice as many pages.
    request = marshal.loads(os.read(REQUEST, os.fstat(REQUEST).st_size))
    os.close(REQUEST)
    serve(request, names, reporter, channel)
    sys.stdout.flush()
    sys.stderr.flush()


def serve(request: dict[str, Any], names: dict[str, Any], reporter: Reporter, channel: Channel | None = None) -> None:
    """Run one request to its end.

    Args:
        request: ``mode`` (``call``, ``stdio``, ``solver``, ``judge`` or ``unittest``) and ``code``; for calls
            ``fn_name`` and encoded ``calls``; for tests see :func:`run_tests` and
            :func:`omnithinker.sandbox.inside.unittests.run_unittests`.
        names: the preamble, built-in names included.
        reporter: where results go.
        channel: connection between judge and solver.
    """
    if request["mode"] == "judge":
        assert channel is not None
        run_tests(request, names, reporter, channel)
        return
    module = types.ModuleType("__main__" if request["mode"] == "stdio" else "solution")
    module.__dict__["__builtins__"] = names
    sys.modules[module.__name__] = module
    try:
        code = compile(request["code"], "<solution>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        (channel.send if channel else reporter.line)({"stage": "compile", "error": describe(error)})
        return
    if request["mode"] == "stdio":
        _run_stdio(code, module, reporter)
    elif request["mode"] == "unittest":
        # Already imported where the owner accepts such tests; elsewhere its memory would slow down every fork.
        from omnithinker.sandbox.inside.unittests import run_unittests

        run_unittests(code, module, request, reporter)
    elif channel is not None:
        _run_solver(code, module, channel)
    else:
        _run_calls(code, module, request, reporter)


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
    reporter.done()


def _run_solver(code: types.CodeType, module: types.ModuleType, channel: Channel) -> None:
    try:
        exec(code, module.__dict__)
    except BaseException as error:
        channel.send({"stage": "load", "error": describe(error)})
        return
    channel.send({"names": list(module.__dict__)})
    try:
        Solver(channel, module).run()
    except PeerGone:
        return  # the judge has finished


def _run_calls(
    code: types.CodeType,
    module: types.ModuleType,
    request: dict[str, Any],
    reporter: Reporter,
) -> None:
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
    reporter.done()


def find_function(module: types.ModuleType, name: str) -> Callable[[], Any]:
    """A maker of the function under test: of the module, or a method of a new object for each call.

    Args:
        module: the loaded program.
        name: ``f`` (of the module, else of ``Solution``) or ``Class.f``.

    Raises:
        NameError: the program does not define it.
    """
    owner, _, attribute = name.rpartition(".")
    function = module.__dict__.get(attribute)
    if not owner and function is not None:
        return lambda: function
    solution = getattr(module, owner or "Solution", None)
    if solution is None or not hasattr(solution, attribute):
        raise NameError(f"the program defines no function {name!r}")
    return lambda: getattr(solution(), attribute)
