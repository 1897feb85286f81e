"""The default backend: warm fork servers, a confined child per run, verdicts on this side."""

from __future__ import annotations

import json
import os
import queue
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from omnithinker.errors import SandboxError, SandboxUnavailable
from omnithinker.recipe import SandboxSettings
from omnithinker.sandbox.cases import AssertTests, CallTests, StdioTests, Tests
from omnithinker.sandbox.inside.codec import encode
from omnithinker.sandbox.result import Result, Status, Trust
from omnithinker.sandbox.slot import Ended, Limits, Slot
from omnithinker.sandbox.verdict import Verdict, judge_calls, judge_output, judge_report, shorten


class ForkServer:
    """Runs programs in children of warm interpreters; see :class:`omnithinker.sandbox.Sandbox`.

    Args:
        settings: level, slots and limits.

    Raises:
        SandboxUnavailable: a confinement layer that the settings require does not work here.
        SandboxError: the interpreter could not be started.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        if not sys.platform.startswith("linux"):
            raise SandboxUnavailable(
                f"the sandbox needs Linux, this is {sys.platform}; run in a Linux container, or set sandbox.backend "
                "to a remote one"
            )
        self._owner = os.getpid()
        self._closed = False
        self.slots = settings.slots or len(os.sched_getaffinity(0))
        limits = Limits(settings.cpu_seconds, settings.memory_mb, settings.preload)
        with ThreadPoolExecutor(self.slots) as starters:
            self._slots = list(starters.map(lambda _: Slot(limits), range(self.slots)))
        self.layers: tuple[str, ...] = self._slots[0].layers
        problems = self._slots[0].problems
        self.level = "weak" if problems else "strong"
        if problems and settings.level == "strong":
            self.close()
            raise SandboxUnavailable(
                f"the sandbox lacks {', '.join(problems)} on this machine; use a newer kernel or container "
                "profile, or set sandbox.level = 'weak' to run model-written code with process limits alone"
            )
        self._free: queue.LifoQueue[Slot] = queue.LifoQueue()
        for slot in self._slots:
            self._free.put(slot)

    def run(self, code: str, tests: Tests, *, stop_early: bool = False) -> Result:
        """See :meth:`omnithinker.sandbox.Sandbox.run`."""
        if os.getpid() != self._owner:
            raise SandboxError("the sandbox belongs to another process; open one in this process")
        if len(tests) == 0:
            return self._invalid(0, "no tests")
        slot = self._free.get()
        try:
            if self._closed:
                raise SandboxError("the sandbox is closed")
            return self._run_twice(slot, code, tests, stop_early)
        finally:
            self._free.put(slot)

    @property
    def processes(self) -> list[int]:
        """Process ids of the fork servers."""
        return [slot.process_id for slot in self._slots]

    def close(self) -> None:
        """See :meth:`omnithinker.sandbox.Sandbox.close`."""
        self._closed = True
        for slot in self._slots:
            slot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _invalid(self, total: int, detail: str) -> Result:
        return Result(status=Status.INVALID_TASK, passed=0, total=total, detail=detail, layers=self.layers)

    def _run_twice(self, slot: Slot, code: str, tests: Tests, stop_early: bool) -> Result:
        for retries in (0, 1):
            try:
                return self._run(slot, code, tests, stop_early, retries)
            except SandboxError as error:
                detail = str(error)
        return Result(
            status=Status.SANDBOX_ERROR,
            passed=0,
            total=len(tests),
            detail=detail,
            layers=self.layers,
            retries=1,
        )

    def _run(self, slot: Slot, code: str, tests: Tests, stop_early: bool, retries: int) -> Result:
        match tests:
            case CallTests():
                ended = slot.run(_request(code, tests))
                return self._result([ended], [judge_calls(ended, tests)], tests, retries)
            case StdioTests():
                return self._run_stdio(slot, code, tests, stop_early, retries)
            case AssertTests():
                return self._run_pair(slot, code, tests, retries)

    def _run_stdio(self, slot: Slot, code: str, tests: StdioTests, stop_early: bool, retries: int) -> Result:
        request = _dump({"mode": "stdio", "code": code})
        processes, verdicts = [], []
        for index, (given, expected) in enumerate(zip(tests.inputs, tests.outputs, strict=True)):
            processes.append(slot.run(request, given.encode("utf-8", "surrogatepass")))
            verdicts.append(judge_output(processes[-1], index, expected))
            if stop_early and verdicts[-1].status is not Status.PASSED:
                break
        return self._result(processes, verdicts, tests, retries)

    def _run_pair(self, slot: Slot, code: str, tests: AssertTests, retries: int) -> Result:
        judge: dict[str, Any] = {"mode": "judge", "sources": tests.sources, "preamble": tests.preamble}
        judge["entry_point"] = tests.entry_point
        ends = slot.run_pair(_dump(judge), _dump({"mode": "solver", "code": code}))
        verdict = judge_report(*ends, len(tests))
        return replace(self._result(list(ends), [verdict], tests, retries), trust=Trust.JUDGE)

    def _result(self, processes: list[Ended], verdicts: list[Verdict], tests: Tests, retries: int) -> Result:
        first_bad = next((v for v in verdicts if v.status is not Status.PASSED), verdicts[0])
        results = tuple(test for verdict in verdicts for test in verdict.tests)
        stdout, cut_out = shorten(processes[-1].stdout)
        stderr, cut_err = shorten(processes[-1].stderr)
        return Result(
            status=first_bad.status,
            detail=first_bad.detail,
            passed=_count(test.status is Status.PASSED for test in results),
            total=len(tests),
            tests=results,
            stdout=stdout,
            stderr=stderr,
            truncated=cut_out or cut_err,
            wall_s=sum(process.wall_s for process in processes),
            cpu_s=sum(process.cpu_s for process in processes),
            peak_rss_mb=max(process.peak_rss_mb for process in processes),
            exit_code=processes[-1].exit_code,
            signal=processes[-1].signal,
            layers=self.layers,
            retries=retries,
        )


def _request(code: str, tests: CallTests) -> bytes:
    """What the program's process gets: names and arguments, never an expected value."""
    calls = [[encode(list(call.arguments)), encode(dict(call.keywords))] for call in tests.calls]
    return _dump({"mode": "call", "code": code, "fn_name": tests.fn_name, "calls": calls})


def _dump(request: dict[str, Any]) -> bytes:
    return json.dumps(request, separators=(",", ":")).encode()


def _count(flags: Iterable[bool]) -> int:
    return sum(1 for flag in flags if flag)
