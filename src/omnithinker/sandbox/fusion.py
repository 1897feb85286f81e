"""Client of services with SandboxFusion's ``/run_code`` protocol. Answers are compared in the trainer's process.

The service's confinement cannot be verified from here, so the recipe must set level ``weak``.
"""

from __future__ import annotations

import importlib.resources
import json
import secrets
import signal
from dataclasses import replace
from typing import Any

import httpx

from omnithinker.config.sandbox import SandboxSettings
from omnithinker.errors import SandboxError, SandboxUnavailable
from omnithinker.io.closing import Closing
from omnithinker.sandbox.assemble import assemble_result, invalid_result, run_with_retry
from omnithinker.sandbox.base import usable_cores
from omnithinker.sandbox.cases import AssertTests, CallTests, StdioTests, Tests, UnittestTests
from omnithinker.sandbox.inside import template
from omnithinker.sandbox.refusal import encoded_calls, refusal
from omnithinker.sandbox.result import Result, Status
from omnithinker.sandbox.slot import Limits, ProcessResult
from omnithinker.sandbox.verdict import judge_calls, judge_output

_MODULES = ("codec", "channel", "report", "labels", "proxies", "solver", "preamble", "judge", "runner")
_SCRIPT = """
import json, os, sys, tempfile, types
for name in ("omnithinker", "omnithinker.sandbox", "omnithinker.sandbox.inside"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
for name, source in {sources}:
    module = sys.modules["omnithinker.sandbox.inside." + name] = types.ModuleType("omnithinker.sandbox.inside." + name)
    setattr(sys.modules["omnithinker.sandbox.inside"], name, module)
    exec(compile(source, name, "exec"), module.__dict__)
report = tempfile.TemporaryFile()
inside = sys.modules["omnithinker.sandbox.inside"]
inside.runner.serve(json.loads({request}), inside.preamble.build(), inside.report.Reporter(report.fileno()))
sys.stdout.flush()
report.seek(0)
os.write(1, b"\\n" + {marker}.encode() + b"\\n")
data = report.read()
while data:
    data = data[os.write(1, data):]
os._exit(0)
"""


class FusionSandbox(Closing):
    """Runs programs in a SandboxFusion service; see :class:`omnithinker.sandbox.Sandbox`.

    Tests that are source code give ``invalid_task``: they need a judge beside the program, and one request runs one
    process.

    Raises:
        SandboxUnavailable: if the recipe requires level ``strong``.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        if settings.level == "strong":
            raise SandboxUnavailable(
                "sandbox: the confinement of a SandboxFusion service cannot be verified (its default has none); "
                "set sandbox.level = 'weak' if you trust it"
            )
        self._settings = settings
        self._limits = Limits(settings.cpu_seconds, settings.memory_mb)
        self.slots = settings.slots or usable_cores()
        self.level = "weak"
        self.layers: tuple[str, ...] = ("sandbox_fusion",)
        self._client = httpx.Client(
            base_url=settings.target or "",
            timeout=httpx.Timeout(self._limits.wall_seconds + 60),
            limits=httpx.Limits(max_connections=self.slots),
        )

    def run(self, code: str, tests: Tests, *, stop_early: bool = False) -> Result:
        """See :meth:`omnithinker.sandbox.Sandbox.run`."""
        if self._client.is_closed:
            raise SandboxError("the sandbox is closed")
        # Calls are encoded only once, for the run.
        if not isinstance(tests, CallTests) and (reason := refusal(tests, self._settings)) is not None:
            return self._annotated(invalid_result(tests, reason), 0)
        return run_with_retry(lambda retries: self._annotated(self._run(code, tests, stop_early), retries), tests)

    def close(self) -> None:
        """See :meth:`omnithinker.sandbox.Sandbox.close`."""
        self._client.close()

    def _run(self, code: str, tests: Tests, stop_early: bool) -> Result:
        match tests:
            case CallTests():
                request = encoded_calls(code, tests)
                if isinstance(request, str):
                    return invalid_result(tests, request)
                marker = secrets.token_hex(16)
                process = self._post(_wrap(json.dumps(request), marker), "", marker)
                return assemble_result([process], [judge_calls(process, tests)], tests)
            case StdioTests():
                processes, verdicts = [], []
                for index, (stdin, expected) in enumerate(zip(tests.inputs, tests.outputs, strict=True)):
                    processes.append(self._post(code, stdin, None))
                    verdicts.append(judge_output(processes[-1], index, expected))
                    if stop_early and verdicts[-1].status is not Status.PASSED:
                        break
                return assemble_result(processes, verdicts, tests)
            case AssertTests() | UnittestTests():
                raise AssertionError("refused before")

    def _post(self, code: str, stdin: str, marker: str | None) -> ProcessResult:
        seconds = self._limits.wall_seconds
        body = {
            "code": code,
            "language": "python",
            "stdin": stdin,
            "run_timeout": seconds,
            "memory_limit_MB": self._limits.memory_mb,
        }
        try:
            response = self._client.post("/run_code", json=body)
            response.raise_for_status()
            answer = response.json()
            run = answer["run_result"]
            if answer["status"] == "SandboxError" or run is None or run["status"] == "Error":
                raise SandboxError(f"the service reports: {str(answer.get('message'))[:200]}")
            return _process_result(run, marker)
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise SandboxError(f"the service failed: {type(error).__name__}: {str(error)[:200]}") from error

    def _annotated(self, result: Result, retries: int) -> Result:
        return replace(result, backend="sandbox_fusion", layers=self.layers, retries=retries)


def _wrap(request: str, marker: str) -> str:
    """Return a program that runs a request as a fork server's child does, and prints the report after a marker line."""
    folder = importlib.resources.files("omnithinker.sandbox.inside")
    sources = [(name, (folder / f"{name}.py").read_text("utf-8")) for name in _MODULES]
    return _SCRIPT.format(sources=repr(sources), request=repr(request), marker=repr(marker))


def _process_result(run: dict[str, Any], marker: str | None) -> ProcessResult:
    """Convert the service's description of a process. The report is the output after the marker."""
    timed_out = run["status"] == "TimeLimitExceeded"
    code = run["return_code"]
    printed = str(run["stdout"] or "")
    errors = str(run["stderr"] or "")
    report = ""
    if marker is not None:
        printed, _, report = printed.partition(f"\n{marker}\n")
    elif code not in (0, None):
        last = (errors.strip().splitlines() or [f"exit code {code}"])[-1]
        report = json.dumps({"stage": "run", "error": last})
    number = signal.SIGKILL if timed_out else -code if code is not None and code < 0 else None
    return ProcessResult(
        exit_code=code if number is None else None,
        signal=number,
        kill_reason=template.WALL_EXCEEDED if timed_out else template.NOT_KILLED,
        cpu_s=0.0,
        wall_s=float(run["execution_time"] or 0.0),
        peak_rss_mb=0.0,
        report=report.encode("utf-8", "surrogatepass"),
        stdout=printed.encode("utf-8", "surrogatepass"),
        stderr=errors.encode("utf-8", "surrogatepass"),
    )
