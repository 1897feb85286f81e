"""Run a request in a confined child: run a program on inputs and report what it returns.

The report is data, one JSON line per finished test; results are judged elsewhere. Nothing in this process is secret. A
program may forge any line, but cannot pass without knowing the expected values.
"""

from __future__ import annotations

import builtins
import gc
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
from omnithinker.sandbox.inside.report import Reporter, describe_error
from omnithinker.sandbox.inside.solver import Solver

REQUEST, REPORT, CONNECTION = 3, 4, 5
"""Descriptors of a fork server's child: marshalled request, report, and for a pair the connection."""


def answer(names: dict[str, Any], reporter: Reporter, channel: Channel | None = None) -> None:
    """Read the request from its descriptor and run it; see :func:`serve`."""
    # The request comes from the trusted owner, so marshal is safe; parsing JSON would touch twice as many pages.
    request = marshal.loads(os.read(REQUEST, os.fstat(REQUEST).st_size))
    os.close(REQUEST)
    serve(request, names, reporter, channel)
    flush_output()


def flush_output() -> None:
    """Write what the standard streams hold; a program may have replaced or closed them."""
    for stream in (sys.stdout, sys.__stdout__, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except Exception:  # not a file, closed, or in need of names that are released
            continue


def serve(request: dict[str, Any], names: dict[str, Any], reporter: Reporter, channel: Channel | None = None) -> None:
    """Run one request.

    Args:
        request: ``mode`` (``call``, ``stdio``, ``solver``, ``judge`` or ``unittest``) and ``code``; for calls also
            ``fn_name`` and encoded ``calls``; for tests see :func:`run_tests` and
            :func:`omnithinker.sandbox.inside.unittests.run_unittests`.
        names: the preamble, built-ins included.
        reporter: destination of the results.
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
        (channel.send if channel else reporter.send_line)({"stage": "compile", "error": describe_error(error)})
        return
    if request["mode"] == "stdio":
        _run_stdio(code, module, reporter)
    elif request["mode"] == "unittest":
        # Imported in advance only if the owner accepts such tests: its memory slows down every fork.
        from omnithinker.sandbox.inside.unittests import run_unittests

        # These tests patch ``builtins.open`` and the like, which must reach the program.
        own = {name: value for name, value in names.items() if name not in vars(builtins)}
        module.__dict__.update(own, __builtins__=builtins)
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
            reporter.send(stage="run", error=describe_error(end))
            return
    except BaseException as error:
        reporter.send(stage="run", error=describe_error(error))
        return
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    if "atexit" in sys.modules:
        sys.modules["atexit"]._run_exitfuncs()
    flush_output()
    sys.stdout = sys.__stdout__  # a stream of the program's may need its names
    _release(module.__dict__)
    flush_output()
    reporter.done()


def _release(variables: dict[str, Any]) -> None:
    """Release a program's variables as the interpreter does at its end: files write their buffers, ``__del__`` runs."""
    for name in list(variables):
        if name != "__builtins__":
            variables[name] = None
    gc.collect()


def _run_solver(code: types.CodeType, module: types.ModuleType, channel: Channel) -> None:
    try:
        exec(code, module.__dict__)
    except BaseException as error:
        channel.send({"stage": "load", "error": describe_error(error)})
        return
    channel.send({"names": list(module.__dict__)})
    try:
        Solver(channel, module).run()
    except PeerGone:
        return  # the judge is done


def _run_calls(
    code: types.CodeType,
    module: types.ModuleType,
    request: dict[str, Any],
    reporter: Reporter,
) -> None:
    try:
        exec(code, module.__dict__)
        get_function = find_function(module, request["fn_name"])
    except BaseException as error:
        reporter.send(stage="load", error=describe_error(error))
        return
    clock = time.perf_counter
    for index, (arguments, keywords) in enumerate(request["calls"]):
        arguments, keywords = decode(arguments), decode(keywords)
        start = clock()
        try:
            value = encode(get_function()(*arguments, **keywords))
        except BaseException as error:
            reporter.send(i=index, error=describe_error(error), wall=clock() - start)
        else:
            reporter.send(i=index, value=value, wall=clock() - start)
    reporter.done()


def find_function(module: types.ModuleType, name: str) -> Callable[[], Any]:
    """Return a getter of the function under test; a method is bound to a new object on every call of the getter.

    Args:
        module: the loaded program.
        name: ``f`` (of the module, else of ``Solution``) or ``Class.f``.

    Raises:
        NameError: if the program does not define the function.
    """
    owner, _, attribute = name.rpartition(".")
    function = module.__dict__.get(attribute)
    if not owner and function is not None:
        return lambda: function
    solution = getattr(module, owner or "Solution", None)
    if solution is None or not hasattr(solution, attribute):
        raise NameError(f"the program defines no function {name!r}")
    return lambda: getattr(solution(), attribute)
