"""Serve a sandbox over standard input and output: ``python -m omnithinker.sandbox.serve``.

The protocol is JSON lines. The first line in holds the settings; the first line out holds level, layers and slots, or
``{"error": ...}``. Requests ``{"id", "code", "tests", "stop_early"}`` follow, any number at once, and are answered by
``{"id", "result"}`` in order of completion. The process ends when its input ends.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

from omnithinker.config.sandbox import SandboxSettings
from omnithinker.errors import OmniThinkerError
from omnithinker.sandbox.base import Sandbox
from omnithinker.sandbox.fork_server import ForkServer
from omnithinker.sandbox.wire import result_to_json, tests_from_json


def serve(lines: TextIO, out: TextIO) -> int:
    """Serve requests until the input ends.

    Returns:
        Exit code: 0, or 2 if the sandbox does not start.
    """
    lock = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(message) + "\n")
            out.flush()

    try:
        sandbox = ForkServer(SandboxSettings.model_validate_json(lines.readline()))
    except (OmniThinkerError, ValueError) as error:
        send({"error": str(error)})
        return 2
    with sandbox, ThreadPoolExecutor(sandbox.slots) as threads:
        send({"level": sandbox.level, "layers": sandbox.layers, "slots": sandbox.slots})
        for line in lines:
            threads.submit(_answer, json.loads(line), sandbox, send)
    return 0


def _answer(request: dict[str, Any], sandbox: Sandbox, send: Callable[[dict[str, Any]], None]) -> None:
    try:
        tests = tests_from_json(request["tests"])
        result = sandbox.run(request["code"], tests, stop_early=request["stop_early"])
    except Exception as error:  # every request must be answered; the client reports the failure
        send({"id": request.get("id"), "error": f"{type(error).__name__}: {error}"})
    else:
        send({"id": request["id"], "result": result_to_json(result)})


if __name__ == "__main__":
    sys.exit(serve(sys.stdin, sys.stdout))
