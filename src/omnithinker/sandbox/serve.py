"""The sandbox as a process of its own: ``python -m omnithinker.sandbox.serve``, JSON lines in and out.

First line in: the settings. First line out: level, layers and slots, or ``{"error": ...}``. Then requests ``{"id",
"code", "tests", "stop_early"}``, any number at once, and answers ``{"id", "result"}`` as they come. It ends with
its input.
"""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

from omnithinker.config.sandbox import SandboxSettings
from omnithinker.errors import OmniThinkerError
from omnithinker.sandbox.base import Sandbox
from omnithinker.sandbox.fork_server import ForkServer
from omnithinker.sandbox.wire import result_to_json, tests_from_json


def serve(lines: TextIO, out: TextIO) -> int:
    """Serve until the input ends.

    Returns:
        Exit code: 0, or 2 when no sandbox could be opened.
    """
    lock = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(message) + "\n")
            out.flush()

    try:
        sandbox = ForkServer(SandboxSettings.model_validate_json(lines.readline()))
    except (OmniThinkerError, ValueError) as error:
        say({"error": str(error)})
        return 2
    with sandbox, ThreadPoolExecutor(sandbox.slots) as threads:
        say({"level": sandbox.level, "layers": sandbox.layers, "slots": sandbox.slots})
        for line in lines:
            threads.submit(_answer, json.loads(line), sandbox, say)
    return 0


def _answer(request: dict[str, Any], sandbox: Sandbox, say: Any) -> None:
    try:
        tests = tests_from_json(request["tests"])
        result = sandbox.run(request["code"], tests, stop_early=request["stop_early"])
    except Exception as error:  # the asker must get an answer, whatever happened; it reports the failure
        say({"id": request.get("id"), "error": f"{type(error).__name__}: {error}"})
    else:
        say({"id": request["id"], "result": result_to_json(result)})


if __name__ == "__main__":
    sys.exit(serve(sys.stdin, sys.stdout))
