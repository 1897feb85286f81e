"""A sandbox behind a command: in a container, on another machine, in a virtual machine.

The command starts :mod:`omnithinker.sandbox.serve` there and connects it to its own input and output, as
``docker run -i`` and ``ssh`` do. What runs there is the default backend with all its confinement.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
import subprocess
import threading
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from omnithinker.config.sandbox import SandboxSettings
from omnithinker.errors import SandboxError, SandboxUnavailable
from omnithinker.sandbox.assemble import invalid, not_sent, run_twice
from omnithinker.sandbox.cases import Tests
from omnithinker.sandbox.result import Result
from omnithinker.sandbox.wire import result_from_json, tests_to_json

_SERVE = ("python", "-m", "omnithinker.sandbox.serve")
_GRACE_SECONDS = 300.0


def container_command(image: str, settings: SandboxSettings) -> tuple[str, ...]:
    """``docker run`` with everything taken away that can be; the image needs this package installed."""
    slots = settings.slots or 1
    limits = ("--pids-limit", str(64 * slots + 64), "--memory", f"{settings.memory_mb * slots + 512}m")
    taken = ("--network", "none", "--cap-drop", "ALL", "--read-only", "--security-opt", "no-new-privileges")
    return ("docker", "run", "--rm", "--interactive", *taken, *limits, "--user", "65534:65534", image, *_SERVE)


class RemoteSandbox:
    """Runs programs in a peer started by a command; see :class:`omnithinker.sandbox.Sandbox`.

    Raises:
        SandboxUnavailable: the command cannot be started, or the peer refuses.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        target = settings.target or ""
        container = settings.backend == "container"
        self.command = container_command(target, settings) if container else tuple(shlex.split(target))
        self._settings = settings.model_copy(update={"backend": "fork_server", "target": None})
        self._backend = settings.backend
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._closed = False
        hello = self._start()
        self.level: str = hello["level"]
        self.layers: tuple[str, ...] = (settings.backend, *hello["layers"])
        self.slots: int = hello["slots"]
        self._deadline = (3 * settings.cpu_seconds + 2) * 100 + _GRACE_SECONDS

    def run(self, code: str, tests: Tests, *, stop_early: bool = False) -> Result:
        """See :meth:`omnithinker.sandbox.Sandbox.run`."""
        if self._closed:
            raise SandboxError("the sandbox is closed")
        try:
            message = {"code": code, "tests": tests_to_json(tests), "stop_early": stop_early}
        except (ValueError, RecursionError) as error:
            result = invalid(tests, not_sent(error))
        else:
            result = run_twice(lambda retries: self._ask(message), tests)
        return replace(result, backend=self._backend, layers=self.layers)

    def close(self) -> None:
        """See :meth:`omnithinker.sandbox.Sandbox.close`."""
        self._closed = True
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> dict[str, Any]:
        try:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # an interrupt at the terminal is for us to handle
            )
        except OSError as error:
            raise SandboxUnavailable(f"sandbox: cannot start {self.command[0]!r}: {error.strerror}") from error
        self._process = process
        self._waiting: dict[int, Future[Result]] = {}
        assert process.stdout is not None
        try:
            # A peer that refuses may be gone before it has read this; its first line says why.
            with contextlib.suppress(BrokenPipeError):
                self._write(self._settings.model_dump_json())
            hello = json.loads(process.stdout.readline())
        except (OSError, ValueError) as error:
            self._stop()
            raise SandboxUnavailable(f"sandbox: {shlex.join(self.command)} did not answer") from error
        if "error" in hello:
            self._stop()
            raise SandboxUnavailable(f"sandbox: {self.command[0]} says: {hello['error']}")
        threading.Thread(target=self._listen, args=(process, self._waiting), daemon=True).start()
        return hello  # type: ignore[no-any-return]

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _ask(self, message: dict[str, Any]) -> Result:
        number = next(self._numbers)
        answer: Future[Result] = Future()
        with self._lock:
            if self._closed:
                raise SandboxError("the sandbox is closed")
            if self._process.poll() is not None:
                self._start()
            self._waiting[number] = answer
            try:
                self._write(json.dumps({"id": number, **message}))
            except OSError as error:
                raise SandboxError("the sandbox's peer is gone") from error
        try:
            return answer.result(self._deadline)
        except TimeoutError as error:
            raise SandboxError("the sandbox's peer does not answer") from error

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    @staticmethod
    def _listen(process: subprocess.Popen[str], waiting: dict[int, Future[Result]]) -> None:
        """Hand out answers until the peer is gone, then fail those that still wait."""
        assert process.stdout is not None
        try:
            for line in process.stdout:
                message = json.loads(line)
                future = waiting.pop(message["id"])
                if "error" in message:
                    future.set_exception(SandboxError(message["error"]))
                else:
                    future.set_result(result_from_json(message["result"]))
        finally:
            process.kill()
            process.wait()
            for future in list(waiting.values()):
                future.set_exception(SandboxError("the sandbox's peer is gone"))
