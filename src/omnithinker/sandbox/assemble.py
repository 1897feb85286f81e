"""Requests to processes and results from their verdicts, shared by all backends."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import lru_cache

from omnithinker.errors import SandboxError
from omnithinker.sandbox.cases import AssertTests, CallTests, Tests
from omnithinker.sandbox.inside.codec import encode
from omnithinker.sandbox.judgeable import program_names, refuse_unjudgeable
from omnithinker.sandbox.objects import object_labels
from omnithinker.sandbox.result import Result, Status
from omnithinker.sandbox.slot import ProcessResult
from omnithinker.sandbox.verdict import Verdict, shorten


def assemble_result(processes: Sequence[ProcessResult], verdicts: Sequence[Verdict], tests: Tests) -> Result:
    """Combine a program's processes and their verdicts, both in order and at least one, into a result."""
    decisive = next((verdict for verdict in verdicts if verdict.status is not Status.PASSED), verdicts[0])
    results = tuple(test for verdict in verdicts for test in verdict.tests)
    last = processes[-1]
    stdout, stdout_truncated = shorten(last.stdout)
    stderr, stderr_truncated = shorten(last.stderr)
    return Result(
        status=decisive.status,
        detail=decisive.detail,
        passed=sum(test.status is Status.PASSED for test in results),
        total=len(tests),
        tests=results,
        stdout=stdout,
        stderr=stderr,
        truncated=stdout_truncated or stderr_truncated,
        wall_s=sum(process.wall_s for process in processes),
        cpu_s=sum(process.cpu_s for process in processes),
        peak_rss_mb=max(process.peak_rss_mb for process in processes),
        exit_code=last.exit_code,
        signal=last.signal,
    )


def invalid_result(tests: Tests, detail: str) -> Result:
    """Return the result of tests that cannot be run; it says nothing about the program."""
    return Result(status=Status.INVALID_TASK, passed=0, total=len(tests), detail=detail)


def run_with_retry(run: Callable[[int], Result], tests: Tests) -> Result:
    """Run a program, and once more if the sandbox itself fails.

    Args:
        run: takes the number of retries so far.
        tests: the tests, for their number.

    Returns:
        The result; its status is ``sandbox_error`` after two failures.
    """
    for retries in (0, 1):
        try:
            return run(retries)
        except SandboxError as error:
            detail = str(error)
    return Result(status=Status.SANDBOX_ERROR, passed=0, total=len(tests), detail=detail, retries=1)


def unsendable(error: Exception) -> str:
    """Return the message for tests whose values cannot be serialized."""
    return f"the tests cannot be sent: {error}"


def call_request(code: str, tests: CallTests) -> dict[str, object]:
    """Build the request for the program's process: names and arguments, never an expected value.

    Raises:
        ValueError, RecursionError: if an argument is not plain data, or is nested too deeply.
    """
    calls = [[encode(list(call.arguments)), encode(dict(call.keywords))] for call in tests.calls]
    return {"mode": "call", "code": code, "fn_name": tests.fn_name, "calls": calls}


@lru_cache(maxsize=4096)
def judge_request(tests: AssertTests) -> dict[str, object]:
    """Build the request for the judge's process; the caller must not change it.

    Raises:
        SyntaxError: if the tests are not valid Python.
        NotJudgeable: if no judge can run the tests.
    """
    uses = free_names(tests.sources)
    names = program_names(tests, uses)
    objects, classes = object_labels((tests.preamble, *tests.sources), set(names), tests.entry_point)
    refuse_unjudgeable(tests, names, objects)
    return {
        "mode": "judge",
        "sources": tests.sources,
        "preamble": tests.preamble,
        "entry_point": tests.entry_point,
        "program": names,
        "uses": uses,
        "attributes": spelled_names((tests.preamble, *tests.sources)),
        "exceptions": caught_names((tests.preamble, *tests.sources)),
        "objects": sorted(objects),
        "classes": sorted(classes),
    }


@lru_cache(maxsize=4096)
def free_names(sources: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that tests use and do not define anywhere, sorted.

    Raises:
        SyntaxError: if the tests are not valid Python.
    """
    used: set[str] = set()
    defined: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Name(id=name, ctx=ast.Load()):
                    used.add(name)
                case ast.Name(id=name):
                    defined.add(name)
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    defined.add(name)
                case ast.arg(arg=name):
                    defined.add(name)
                case ast.alias(name=imported, asname=alias):
                    defined.add(alias or imported.partition(".")[0])
    return tuple(sorted(used - defined))


def spelled_names(sources: tuple[str, ...]) -> tuple[str, ...]:
    """Return the attributes that tests read or write, also by ``getattr(value, "name")``, sorted.

    Raises:
        SyntaxError: if the tests are not valid Python.
    """
    names: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Attribute(attr=name) | ast.Constant(value=str(name)) if name.isidentifier():
                    names.add(name)
    return tuple(sorted(names))


def caught_names(sources: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of exceptions that tests catch, by ``except`` or ``raises(...)``, sorted.

    Raises:
        SyntaxError: if the tests are not valid Python.
    """
    caught: set[ast.expr] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.ExceptHandler(type=ast.expr() as kind):
                    caught.add(kind)
                case ast.Call(func=ast.Attribute(attr="raises" | "suppress" | "assertRaises"), args=kinds):
                    caught.update(kinds)
                case ast.Call(func=ast.Name(id="raises" | "suppress"), args=kinds):
                    caught.update(kinds)
    return tuple(sorted({name.id for kind in caught for name in ast.walk(kind) if isinstance(name, ast.Name)}))
