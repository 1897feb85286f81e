"""Building results from verdicts, the same way for every backend."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import lru_cache

from omnithinker.errors import SandboxError
from omnithinker.sandbox.cases import AssertTests, CallTests, Tests
from omnithinker.sandbox.inside.codec import encode
from omnithinker.sandbox.result import Result, Status
from omnithinker.sandbox.slot import Ended
from omnithinker.sandbox.verdict import Verdict, shorten


def assemble(processes: Sequence[Ended], verdicts: Sequence[Verdict], tests: Tests) -> Result:
    """One result from a program's processes and their verdicts, both in order and at least one."""
    first_bad = next((verdict for verdict in verdicts if verdict.status is not Status.PASSED), verdicts[0])
    results = tuple(test for verdict in verdicts for test in verdict.tests)
    last = processes[-1]
    stdout, cut_out = shorten(last.stdout)
    stderr, cut_err = shorten(last.stderr)
    return Result(
        status=first_bad.status,
        detail=first_bad.detail,
        passed=sum(test.status is Status.PASSED for test in results),
        total=len(tests),
        tests=results,
        stdout=stdout,
        stderr=stderr,
        truncated=cut_out or cut_err,
        wall_s=sum(process.wall_s for process in processes),
        cpu_s=sum(process.cpu_s for process in processes),
        peak_rss_mb=max(process.peak_rss_mb for process in processes),
        exit_code=last.exit_code,
        signal=last.signal,
    )


def invalid(tests: Tests, detail: str) -> Result:
    """The result of tests that cannot be run; says nothing about the program."""
    return Result(status=Status.INVALID_TASK, passed=0, total=len(tests), detail=detail)


def run_twice(run: Callable[[int], Result], tests: Tests) -> Result:
    """Run, and once more if the sandbox itself failed.

    Args:
        run: takes the number of retries so far.
        tests: for their number.

    Returns:
        The result, or one of status ``sandbox_error`` after two failures.
    """
    for retries in (0, 1):
        try:
            return run(retries)
        except SandboxError as error:
            detail = str(error)
    return Result(status=Status.SANDBOX_ERROR, passed=0, total=len(tests), detail=detail, retries=1)


def not_sent(error: Exception) -> str:
    """Why tests are invalid whose values cannot leave this process."""
    return f"the tests cannot be sent: {error}"


def call_request(code: str, tests: CallTests) -> dict[str, object]:
    """What the program's process gets: names and arguments, never an expected value.

    Raises:
        ValueError, RecursionError: an argument is not plain data, or nested too deeply.
    """
    calls = [[encode(list(call.arguments)), encode(dict(call.keywords))] for call in tests.calls]
    return {"mode": "call", "code": code, "fn_name": tests.fn_name, "calls": calls}


def judge_request(tests: AssertTests) -> dict[str, object]:
    """What the judge's process gets.

    Raises:
        SyntaxError: the tests are not Python.
    """
    return {
        "mode": "judge",
        "sources": tests.sources,
        "preamble": tests.preamble,
        "entry_point": tests.entry_point,
        "uses": names_used(tests.sources),
    }


@lru_cache(maxsize=4096)
def names_used(sources: tuple[str, ...]) -> tuple[str, ...]:
    """Names that tests use and do not define anywhere, sorted.

    Raises:
        SyntaxError: the tests are not Python.
    """
    used: set[str] = set()
    own: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Name(id=name, ctx=ast.Load()):
                    used.add(name)
                case ast.Name(id=name):
                    own.add(name)
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    own.add(name)
                case ast.arg(arg=name):
                    own.add(name)
                case ast.alias(name=imported, asname=alias):
                    own.add(alias or imported.partition(".")[0])
    return tuple(sorted(used - own))
