"""A sandbox behind a command: in a container, on another machine, in a virtual machine.

The command starts :mod:`omnithinker.sandbox.serve` there and connects it to its own standard input and output, as
``docker run -i`` and ``ssh`` do. The peer runs the default backend with all its confinement.
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
from typing import Any

from omnithinker.config.sandbox import SandboxSettings
from omnithinker.errors import SandboxError, SandboxUnavailable
from omnithinker.io.closing import Closing
from omnithinker.sandbox.assemble import invalid_result, run_with_retry, unsendable
from omnithinker.sandbox.cases import Tests
from omnithinker.sandbox.result import Result
from omnithinker.sandbox.wire import result_from_json, tests_to_json

_SERVE = ("python", "-m", "omnithinker.sandbox.serve")
_GRACE_SECONDS = 300.0
_PEER_GONE = "the sandbox's peer is gone"


def container_command(image: str, settings: SandboxSettings) -> tuple[str, ...]:
    """Return a ``docker run`` command without network, capabilities or writable files.

    The image must have this package installed.
    """
    slots = settings.slots or 1
    limits = ("--pids-limit", str(64 * slots + 64), "--memory", f"{settings.memory_mb * slots + 512}m")
    confinement = ("--network", "none", "--cap-drop", "ALL", "--read-only", "--security-opt", "no-new-privileges")
    return ("docker", "run", "--rm", "--interactive", *confinement, *limits, "--user", "65534:65534", image, *_SERVE)


class RemoteSandbox(Closing):
    """Runs programs in a peer started by a command; see :class:`omnithinker.sandbox.Sandbox`.

    Raises:
        SandboxUnavailable: if the command cannot be started, or the peer refuses.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        target = settings.target or ""
        container = settings.backend == "container"
        self.command = container_command(target, settings) if container else tuple(shlex.split(target))
        self._settings = settings.model_copy(update={"backend": "fork_server", "target": None})
        self._backend = settings.backend
        self._lock = threading.Lock()
        self._closed = False
        self._peer = _Peer(self.command, self._settings)
        self.level: str = self._peer.greeting["level"]
        self.layers: tuple[str, ...] = (settings.backend, *self._peer.greeting["layers"])
        self.slots: int = self._peer.greeting["slots"]
        self._deadline = (3 * settings.cpu_seconds + 2) * 100 + _GRACE_SECONDS

    def run(self, code: str, tests: Tests, *, stop_early: bool = False) -> Result:
        """See :meth:`omnithinker.sandbox.Sandbox.run`."""
        if self._closed:
            raise SandboxError("the sandbox is closed")
        try:
            request = {"code": code, "tests": tests_to_json(tests), "stop_early": stop_early}
        except (ValueError, RecursionError) as error:
            result = invalid_result(tests, unsendable(error))
        else:
            result = run_with_retry(lambda retries: self._request(request), tests)
        return replace(result, backend=self._backend, layers=self.layers)

    def close(self) -> None:
        """See :meth:`omnithinker.sandbox.Sandbox.close`."""
        self._closed = True
        self._peer.close()  # also releases a thread that holds the lock while it writes to a peer that does not read
        with self._lock:
            self._peer.close()  # a thread may have replaced the peer in the meantime

    def _request(self, request: dict[str, Any]) -> Result:
        with self._lock:
            if self._closed:
                raise SandboxError("the sandbox is closed")
            if self._peer.gone:
                self._peer = _Peer(self.command, self._settings)
            answer = self._peer.send(request)
        try:
            return answer.result(self._deadline)
        except TimeoutError as error:
            raise SandboxError("the sandbox's peer does not answer") from error


class _Peer(Closing):
    """A running peer with its pending requests.

    ``gone`` is set before any of its requests fails, so a retry always finds it set. The state of the process would not
    do: the pipes of a dying process break before it can be waited for.

    Raises:
        SandboxUnavailable: if the command cannot be started, or the peer refuses.
    """

    def __init__(self, command: tuple[str, ...], settings: SandboxSettings) -> None:
        self.gone = False
        self._numbers = itertools.count()
        self._pending: dict[int, Future[Result]] = {}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # an interrupt at the terminal reaches this process alone
            )
        except OSError as error:
            raise SandboxUnavailable(f"sandbox: cannot start {command[0]!r}: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        try:
            # A peer that refuses may exit before it has read this; its first line gives the reason.
            with contextlib.suppress(BrokenPipeError):
                self._write(settings.model_dump_json())
            self.greeting = json.loads(self._answers.readline())
        except (OSError, ValueError) as error:
            self.close()
            raise SandboxUnavailable(f"sandbox: {shlex.join(command)} did not answer") from error
        if "error" in self.greeting:
            self.close()
            raise SandboxUnavailable(f"sandbox: {command[0]} reports: {self.greeting['error']}")
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, request: dict[str, Any]) -> Future[Result]:
        """Send a request. Not thread-safe.

        Raises:
            SandboxError: if the peer is gone.
        """
        number = next(self._numbers)
        answer = self._pending[number] = Future()
        try:
            self._write(json.dumps({"id": number, **request}))
        except OSError as error:
            self._pending.pop(number, None)
            self.close()
            raise SandboxError(_PEER_GONE) from error
        if self.gone and self._pending.pop(number, None) is not None:
            raise SandboxError(_PEER_GONE)  # the listener may have failed the pending requests before this one
        return answer

    def close(self) -> None:
        """Kill the peer. The listener then fails the pending requests."""
        self.gone = True
        self._process.kill()
        self._process.wait()

    def _write(self, line: str) -> None:
        self._requests.write(line + "\n")
        self._requests.flush()

    def _listen(self) -> None:
        """Deliver answers until the peer is gone, then fail the pending requests."""
        try:
            for line in self._answers:
                message = json.loads(line)
                future = self._pending.pop(message["id"])
                if "error" in message:
                    future.set_exception(SandboxError(message["error"]))
                else:
                    future.set_result(result_from_json(message["result"]))
        finally:
            self.close()
            for future in list(self._pending.values()):
                future.set_exception(SandboxError(_PEER_GONE))
