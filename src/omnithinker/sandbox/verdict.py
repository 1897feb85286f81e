"""Verdicts from the reports and output of finished processes. Reports are parsed as data from a hostile process."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import Any

from omnithinker.sandbox.cases import CallTests, UnittestTests
from omnithinker.sandbox.compare import same_output, same_value
from omnithinker.sandbox.inside import template
from omnithinker.sandbox.inside.codec import decode
from omnithinker.sandbox.result import Status, TestResult
from omnithinker.sandbox.slot import FILE_SIZE, ProcessResult

_SHOWN_CHARACTERS = 300
_SHOWN_BYTES = 4096
_OUTPUT_LIMIT = (Status.OUTPUT_LIMIT, f"wrote more than {FILE_SIZE >> 20} MiB")
_MALFORMED = "the report is malformed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict on one process."""

    status: Status
    """``passed``, or the first failure."""
    detail: str
    """One-line explanation of a failure; empty for ``passed``."""
    tests: tuple[TestResult, ...]
    """Reported tests, in order."""


def judge_calls(process: ProcessResult, tests: CallTests) -> Verdict:
    """Compare the reported values with the expected ones. Passes only if every test is reported and passes."""
    if _exceeded_output(process):
        return Verdict(*_OUTPUT_LIMIT, ())
    try:
        lines = _lines(process.report, len(tests))
        results = tuple(_call_result(line, tests) for line in lines if "stage" not in line)
    except (ValueError, KeyError, RecursionError) as error:
        return Verdict(Status.TAMPERED, f"{_MALFORMED}: {type(error).__name__}", ())
    stages = [line for line in lines if "stage" in line]
    if [result.index for result in results] != list(range(len(results))) or len(results) > len(tests):
        return Verdict(Status.TAMPERED, "the report does not list the tests in order", ())
    problem = _problem(process, stages)
    if problem is not None:
        return Verdict(*problem, results)
    for result in results:
        if result.status is not Status.PASSED:
            return Verdict(result.status, f"test {result.index}: {result.error or f'got {result.got}'}", results)
    if len(results) != len(tests):
        return Verdict(Status.TAMPERED, f"{len(results)} of {len(tests)} tests reported", results)
    return Verdict(Status.PASSED, "", results)


def judge_asserts(judge: ProcessResult, solver: ProcessResult, total: int) -> Verdict:
    """Read the report of a judge process. The solver's exit can explain a failure; it never causes a pass."""
    if _exceeded_output(judge) or _exceeded_output(solver):
        return Verdict(*_OUTPUT_LIMIT, ())
    try:
        lines = _lines(judge.report, total)
        results = tuple(_reported(line) for line in lines if "stage" not in line)
    except (ValueError, KeyError, RecursionError) as error:
        return Verdict(Status.TAMPERED, f"the judge's report is malformed: {type(error).__name__}", ())
    stages = [line for line in lines if "stage" in line]
    done = stages[-1] if stages and stages[-1]["stage"] == "done" else None
    if done is None:
        # Without "done" the judge has failed in any case; a failure of the solver is then the cause.
        problem = _problem_of_solver(solver) or _problem(judge, stages)
        return Verdict(*(problem or (Status.EARLY_EXIT, "the tests did not finish")), results)
    for result in results:
        if result.status is not Status.PASSED:
            return Verdict(Status.FAILED, f"test {result.index}: {result.error}", results)
    if len(results) != total:
        return Verdict(Status.TAMPERED, f"{len(results)} of {total} tests reported", results)
    if not done.get("calls"):
        return Verdict(Status.INVALID_TASK, "the tests never call the program", results)
    return Verdict(Status.PASSED, "", results)


def _problem_of_solver(solver: ProcessResult) -> tuple[Status, str] | None:
    if solver.signal == signal.SIGKILL and solver.kill_reason == template.NOT_KILLED:
        return None  # killed on purpose after the judge ended
    return _problem(solver, [{"stage": "done"}])


def judge_unittests(process: ProcessResult, tests: UnittestTests) -> Verdict:
    """Read the report of tests that ran in the program's process. It must list every test and the failing canary."""
    if _exceeded_output(process):
        return Verdict(*_OUTPUT_LIMIT, ())
    try:
        lines = _lines(process.report, len(tests))
        results = tuple(_reported(line) for line in lines if "stage" not in line)
    except (ValueError, KeyError, RecursionError) as error:
        return Verdict(Status.TAMPERED, f"{_MALFORMED}: {type(error).__name__}", ())
    stages = [line for line in lines if "stage" in line]
    problem = _problem(process, stages)
    if problem is not None:
        return Verdict(*problem, results)
    if [result.index for result in results] != list(range(len(tests))) or not stages[-1].get("canary_failed"):
        return Verdict(
            Status.TAMPERED,
            "the report lacks tests, the test that must fail has passed, or TestCase was changed",
            results,
        )
    for result in results:
        if result.status is not Status.PASSED:
            return Verdict(Status.FAILED, f"{tests.names[result.index]}: {result.error}", results)
    return Verdict(Status.PASSED, "", results)


def _reported(line: dict[str, Any]) -> TestResult:
    error = None if line["error"] is None else _one_line(line["error"])
    return TestResult(index=line["i"], status=Status.FAILED if error is not None else Status.PASSED, error=error)


def judge_output(process: ProcessResult, index: int, expected: str) -> Verdict:
    """Compare the standard output of a whole program with the expected text."""
    if _exceeded_output(process):
        test = TestResult(index=index, status=Status.OUTPUT_LIMIT, wall_s=process.wall_s, error=_OUTPUT_LIMIT[1])
        return Verdict(*_OUTPUT_LIMIT, (test,))
    try:
        stages = [line for line in _lines(process.report, 1) if "stage" in line]
        # A program may leave by os._exit(0): only its output counts.
        problem = None if _exited_early(process, stages) else _problem(process, stages)
        printed = process.stdout.decode()
    except (ValueError, RecursionError) as error:
        problem, printed = (Status.FAILED, f"unreadable output: {type(error).__name__}"), ""
    if problem is None and not same_output(printed, expected):
        problem = (Status.FAILED, f"test {index}: printed {_preview(printed)}")
    status, detail = problem or (Status.PASSED, "")
    error_line = detail if problem is not None and status is not Status.FAILED else None
    test = TestResult(index=index, status=status, wall_s=process.wall_s, got=_preview(printed), error=error_line)
    return Verdict(status, detail, (test,))


def shorten(output: bytes) -> tuple[str, bool]:
    """Return the head and tail of a program's output, at most 4 KiB, and True if it was shortened."""
    if len(output) <= _SHOWN_BYTES:
        return output.decode(errors="replace"), False
    half = _SHOWN_BYTES // 2
    parts = output[:half], output[-half:]
    return "\n[...]\n".join(part.decode(errors="replace") for part in parts), True


def _exceeded_output(process: ProcessResult) -> bool:
    sizes = (len(process.stdout), len(process.stderr), len(process.report))
    return process.signal == signal.SIGXFSZ or max(sizes) >= FILE_SIZE


def _lines(report: bytes, tests: int) -> list[dict[str, Any]]:
    """Parse a report that may have been written by a hostile program.

    Raises:
        ValueError, RecursionError: if it is not in the form that our own code writes.
    """
    texts = report.splitlines()
    if len(texts) > tests + 2:
        raise ValueError("more lines than tests")
    lines = [json.loads(text) for text in texts]
    for line in lines:
        if type(line) is not dict or type(line.get("stage", "")) is not str:
            raise ValueError("not a line of a report")
        if type(line.get("error", "")) not in (str, type(None)):
            raise ValueError("not a line of a report")
        if "stage" not in line and type(line.get("i")) is not int:
            raise ValueError("not a line of a report")
    return lines


def _call_result(line: dict[str, Any], tests: CallTests) -> TestResult:
    index, wall = line["i"], line["wall"]
    if not 0 <= index < len(tests) or type(wall) is not float:
        raise ValueError("no such test")
    if "error" in line:
        error = str(line["error"])
        return TestResult(index=index, status=status_of_error(error), wall_s=wall, error=_one_line(error))
    expected = tests.calls[index].expected
    try:
        # Building a set or dict of hostile keys can take quadratic time; one larger than expected is wrong anyway.
        got = decode(line["value"], largest=_largest(expected))
        equal = same_value(got, expected, tests.tolerance)
    except (ValueError, RecursionError) as error:
        return TestResult(index=index, status=Status.FAILED, wall_s=wall, error=_one_line(str(error)))
    status = Status.PASSED if equal else Status.FAILED
    return TestResult(index=index, status=status, wall_s=wall, got=_preview(got))


def _largest(value: Any) -> int:
    """Return the size of the largest set or dict anywhere in a value; 0 if there is none."""
    match value:
        case dict():
            return max(len(value), max(map(_largest, value.values()), default=0))
        case set() | frozenset():
            return len(value)
        case list() | tuple():
            return max(map(_largest, value), default=0)
    return 0


def status_of_error(error: str) -> Status:
    """Return the status for an exception given as ``Type: message``."""
    match error.partition(":")[0]:
        case "MemoryError":
            return Status.MEMORY_LIMIT
        case "SystemExit" | "KeyboardInterrupt":
            return Status.EARLY_EXIT
        case "Unencodable":
            return Status.FAILED
    return Status.RUNTIME_ERROR


def _exited_early(process: ProcessResult, stages: list[dict[str, Any]]) -> bool:
    return process.exit_code == 0 and not stages


def _problem(process: ProcessResult, stages: list[dict[str, Any]]) -> tuple[Status, str] | None:
    """Return the reason that the process did not finish, or None if it did."""
    if process.kill_reason == template.CPU_EXCEEDED or process.signal == signal.SIGXCPU:
        return Status.CPU_LIMIT, f"used {process.cpu_s:.1f} s of CPU time"
    if process.kill_reason == template.WALL_EXCEEDED:
        return Status.TIMEOUT, f"not finished after {process.wall_s:.1f} s"
    if process.signal == signal.SIGKILL:
        return Status.KILLED, "killed from outside, most likely for lack of memory"
    if process.signal is not None:
        return Status.CRASHED, f"ended by signal {process.signal}"
    for stage in stages:
        error = _one_line(str(stage.get("error", "")))
        if stage["stage"] == "compile":
            return Status.COMPILE_ERROR, error
        if stage["stage"] in ("load", "run"):
            return status_of_error(error), error
    if process.exit_code != 0 or not any(stage["stage"] == "done" for stage in stages):
        return Status.EARLY_EXIT, f"exited with code {process.exit_code} before the last test"
    return None


def _preview(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer beyond Python's digit limit, or deep nesting
        text = f"a large {type(value).__name__}"
    return text[:_SHOWN_CHARACTERS].encode("utf-8", "backslashreplace").decode()


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_SHOWN_CHARACTERS].encode("utf-8", "backslashreplace").decode()
