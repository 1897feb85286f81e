"""Tests that a sandbox cannot judge, whatever the program: found from the tests and the settings alone."""

from __future__ import annotations

from omnithinker.config.sandbox import SandboxSettings
from omnithinker.sandbox.assemble import call_request, judge_request, unsendable
from omnithinker.sandbox.cases import AssertTests, CallTests, StdioTests, Tests, UnittestTests
from omnithinker.sandbox.judgeable import NotJudgeable
from omnithinker.sandbox.requirements import unmet
from omnithinker.sandbox.slot import FILE_SIZE


def refusal(tests: Tests, settings: SandboxSettings) -> str | None:
    """Return the reason that a sandbox with these settings cannot judge the tests; None if it can."""
    if len(tests) == 0:
        return "no tests"
    if settings.backend == "sandbox_fusion" and isinstance(tests, AssertTests | UnittestTests):
        return "a SandboxFusion service cannot judge tests that are source code"
    match tests:
        case CallTests():
            request = encoded_calls("", tests)
            return request if isinstance(request, str) else None
        case StdioTests(outputs=outputs):
            longest = max(len(output.encode("utf-8", "surrogatepass")) for output in outputs)
            if longest >= FILE_SIZE:
                return f"an expected output has {longest} bytes; a program may write {FILE_SIZE - 1}"
        case AssertTests():
            return _refusal_of_source(tests) or _unmet(tests.sources, settings)
        case UnittestTests() if not settings.in_process_tests:
            return (
                "unittest classes run in the program's own process, which could forge the verdict; "
                "set sandbox.in_process_tests = true to accept that"
            )
        case UnittestTests(source=source):
            return _unmet((source,), settings)
    return None


def encoded_calls(code: str, tests: CallTests) -> dict[str, object] | str:
    """Return the request to run a program on calls, or the reason that their arguments cannot be sent."""
    try:
        return call_request(code, tests)
    except (ValueError, RecursionError) as error:
        return unsendable(error)


def _refusal_of_source(tests: AssertTests) -> str | None:
    try:
        judge_request(tests)
    except NotJudgeable as error:
        return f"the tests are invalid for this mode, where the program has its own process: {error}"
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"the tests are not valid Python: {error}"
    return None


def _unmet(sources: tuple[str, ...], settings: SandboxSettings) -> str | None:
    try:
        return unmet(sources, settings.preload, local=settings.backend in ("fork_server", "bubblewrap"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"the tests are not valid Python: {error}"
