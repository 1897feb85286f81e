"""The default backend: warm fork servers, one confined child per run, verdicts in the trainer's process."""

from __future__ import annotations

import marshal
import os
import queue
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

from omnithinker.config.sandbox import SandboxSettings
from omnithinker.errors import SandboxError, SandboxUnavailable
from omnithinker.io.closing import Closing
from omnithinker.sandbox.assemble import (
    assemble_result,
    invalid_result,
    judge_request,
    run_with_retry,
)
from omnithinker.sandbox.base import usable_cores
from omnithinker.sandbox.bubblewrap import bubblewrap_command
from omnithinker.sandbox.cases import AssertTests, CallTests, StdioTests, Tests, UnittestTests
from omnithinker.sandbox.plain_slot import PlainSlot
from omnithinker.sandbox.refusal import encoded_calls, refusal
from omnithinker.sandbox.result import Result, Status, Trust
from omnithinker.sandbox.slot import Limits, Slot
from omnithinker.sandbox.verdict import judge_asserts, judge_calls, judge_output, judge_unittests

PLATFORM = sys.platform
"""Platform name; Linux gets fork servers, others an interpreter per program. Only tests set it."""


class ForkServer(Closing):
    """Runs programs in children of warm interpreters; see :class:`omnithinker.sandbox.Sandbox`.

    Args:
        settings: level, slots and limits.

    Raises:
        SandboxUnavailable: if a confinement layer that the settings require does not work on this machine.
        SandboxError: if the interpreter does not start.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        portable = not PLATFORM.startswith("linux")
        if portable and (settings.level == "strong" or settings.backend == "bubblewrap"):
            missing = (*PlainSlot.problems, *(["bubblewrap"] if settings.backend == "bubblewrap" else []))
            raise SandboxUnavailable(
                f"the sandbox lacks {', '.join(missing)} on {PLATFORM} (Linux only); set sandbox.backend to "
                "'container' or 'sandbox_fusion', or to 'fork_server' with sandbox.level = 'weak' "
                "to run model-written code with process limits alone"
            )
        self._owner = os.getpid()
        self._closed = False
        self.slots = settings.slots or usable_cores()
        outer = bubblewrap_command(settings.preload) if settings.backend == "bubblewrap" else ()
        limits = Limits(settings.cpu_seconds, settings.memory_mb, settings.preload, outer, settings.in_process_tests)
        self._backend = settings.backend
        self._settings = settings
        with ThreadPoolExecutor(self.slots) as threads:
            slot_class: type[Slot | PlainSlot] = PlainSlot if portable else Slot
            self._slots = list(threads.map(lambda _: slot_class(limits), range(self.slots)))
        self.layers: tuple[str, ...] = (*(("bubblewrap",) if outer else ()), *self._slots[0].layers)
        problems = self._slots[0].problems
        self.level = "weak" if problems else "strong"
        if problems and settings.level == "strong":
            self.close()
            raise SandboxUnavailable(
                f"the sandbox lacks {', '.join(problems)} on this machine; use a newer kernel or another container "
                "profile, or set sandbox.level = 'weak' to run model-written code with process limits alone"
            )
        self._free: queue.LifoQueue[Slot | PlainSlot] = queue.LifoQueue()
        for slot in self._slots:
            self._free.put(slot)

    def run(self, code: str, tests: Tests, *, stop_early: bool = False) -> Result:
        """See :meth:`omnithinker.sandbox.Sandbox.run`."""
        if os.getpid() != self._owner:
            raise SandboxError("the sandbox belongs to another process; open a new one in this process")
        # Calls are encoded only once, for the run.
        if not isinstance(tests, CallTests) and (reason := refusal(tests, self._settings)) is not None:
            return self._annotated(invalid_result(tests, reason), 0)
        slot = self._free.get()
        try:
            if self._closed:
                raise SandboxError("the sandbox is closed")
            return run_with_retry(lambda retries: self._annotated(_run(slot, code, tests, stop_early), retries), tests)
        finally:
            self._free.put(slot)

    @property
    def processes(self) -> list[int]:
        """Process ids of the fork servers; empty where every program has its own interpreter."""
        return [process for slot in self._slots for process in slot.process_ids]

    def close(self) -> None:
        """See :meth:`omnithinker.sandbox.Sandbox.close`."""
        self._closed = True
        for slot in self._slots:
            slot.close()

    def _annotated(self, result: Result, retries: int) -> Result:
        return replace(result, backend=self._backend, layers=self.layers, retries=retries)


def _run(slot: Slot | PlainSlot, code: str, tests: Tests, stop_early: bool) -> Result:
    match tests:
        case CallTests():
            request = encoded_calls(code, tests)
            if isinstance(request, str):
                return invalid_result(tests, request)
            process = slot.run(marshal.dumps(request))
            return assemble_result([process], [judge_calls(process, tests)], tests)
        case StdioTests():
            return _run_stdio(slot, code, tests, stop_early)
        case AssertTests():
            return _run_pair(slot, code, tests)
        case UnittestTests():
            canary = f"T{secrets.token_hex(8)}"
            unittests = {"mode": "unittest", "code": code, "canary": canary, **asdict(tests)}
            process = slot.run(marshal.dumps(unittests))
            result = assemble_result([process], [judge_unittests(process, tests)], tests)
            return replace(result, trust=Trust.IN_PROCESS)


def _run_stdio(slot: Slot | PlainSlot, code: str, tests: StdioTests, stop_early: bool) -> Result:
    request = marshal.dumps({"mode": "stdio", "code": code})
    processes, verdicts = [], []
    for index, (stdin, expected) in enumerate(zip(tests.inputs, tests.outputs, strict=True)):
        processes.append(slot.run(request, stdin.encode("utf-8", "surrogatepass")))
        verdicts.append(judge_output(processes[-1], index, expected))
        if stop_early and verdicts[-1].status is not Status.PASSED:
            break
    return assemble_result(processes, verdicts, tests)


def _run_pair(slot: Slot | PlainSlot, code: str, tests: AssertTests) -> Result:
    processes = slot.run_pair(marshal.dumps(judge_request(tests)), marshal.dumps({"mode": "solver", "code": code}))
    verdict = judge_asserts(*processes, len(tests))
    return replace(assemble_result(processes, [verdict], tests), trust=Trust.JUDGE)
