"""The child of :class:`omnithinker.sandbox.plain_slot.PlainSlot`: limit this process, then run one request."""

from __future__ import annotations

import _thread
import contextlib
import json
import marshal
import os
import resource
import signal
import sys
import time

from omnithinker.sandbox.inside import preamble, runner
from omnithinker.sandbox.inside.channel import Channel
from omnithinker.sandbox.inside.limits import OPEN_FILES, limit
from omnithinker.sandbox.inside.report import Reporter, describe_error

READY = b"r"
"""Sent to the owner once the limits are set and before the program is read; later failures are the program's."""


def main() -> None:
    """Limit this process, then run one request.

    The descriptors are, in order: request, report, lifeline to the owner, and for a pair the connection.

    Raises:
        Exception: if a module to preload is missing or a limit cannot be set; the owner shows the last line.
    """
    options = json.loads(sys.argv[1])
    sys.argv[:] = ["solution.py"]
    sys.path += options["path"]
    request_file, report, lifeline, *connection = options["descriptors"]
    names = preamble.build()
    for name in options["preload"]:
        __import__(name)
    os.environ.clear()
    _thread.start_new_thread(_exit_with_owner, (lifeline,))
    _limit(options["cpu_seconds"], options["memory"], options["file_size"])
    os.write(lifeline, READY)
    with open(request_file, "rb") as file:
        request = marshal.loads(file.read())
    try:
        runner.serve(request, names, Reporter(report), Channel(connection[0]) if connection else None)
        runner.flush_output()
    except BaseException as error:
        os.write(2, describe_error(error).encode("utf-8", "replace"))
        os._exit(1)
    os._exit(0)


def _exit_with_owner(lifeline: int) -> None:
    """Wait until the owner is gone, then kill this process and its children. Invisible to :mod:`threading`."""
    with contextlib.suppress(OSError):  # a reset connection is a closed one
        os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def _limit(cpu_seconds: float, memory: int, file_size: int) -> None:
    """Limit CPU time beyond start-up, file size and open files; address space where the system supports it."""
    # The system counts whole seconds; round up, so that no correct answer fails.
    seconds = int(time.process_time() + cpu_seconds) + 1
    limit(resource.RLIMIT_CPU, seconds + 1)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(seconds, hard), hard))  # SIGXCPU first: it names the reason
    limit(resource.RLIMIT_FSIZE, file_size)
    limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # excessive output ends the program, as in the fork server
    # macOS refuses this limit; level ``weak`` allows that.
    with contextlib.suppress(OSError, ValueError):
        limit(resource.RLIMIT_AS, memory)
