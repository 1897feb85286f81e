"""The inside of :class:`omnithinker.sandbox.plain_slot.PlainSlot`: limits itself, then reads and runs one request."""

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
from omnithinker.sandbox.inside.report import Reporter, describe

READY = b"r"
"""Sent to the owner when the limits are set and before the program is read: whatever happens later is its doing."""


def main() -> None:
    """Limit this process, then run one request.

    Descriptors, in this order: the request, the report, the line to the owner, and of a pair the connection.

    Raises:
        Exception: a module to preload is missing or a limit cannot be set; the owner shows the last line.
    """
    options = json.loads(sys.argv[1])
    sys.argv[:] = ["solution.py"]
    sys.path += options["path"]
    request_file, report, owner, *connection = options["descriptors"]
    names = preamble.build()
    for name in options["preload"]:
        __import__(name)
    os.environ.clear()
    _thread.start_new_thread(_end_with, (owner,))
    _limit(options["cpu_seconds"], options["memory"], options["file_size"])
    os.write(owner, READY)
    with open(request_file, "rb") as file:
        request = marshal.loads(file.read())
    try:
        runner.serve(request, names, Reporter(report), Channel(connection[0]) if connection else None)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, describe(error).encode("utf-8", "replace"))
        os._exit(1)
    os._exit(0)


def _end_with(owner: int) -> None:
    """Wait until the owner is gone, then end this process and what it started. Not seen by :mod:`threading`."""
    with contextlib.suppress(OSError):  # a reset line is a closed one
        os.read(owner, 1)
    os.killpg(0, signal.SIGKILL)


def _limit(cpu_seconds: float, memory: int, file_size: int) -> None:
    """CPU time beyond what the start has used, file size, open files; address space where the system has it."""
    # The system counts whole seconds; round up, for a right answer must not become a wrong one.
    seconds = int(time.process_time() + cpu_seconds) + 1
    limit(resource.RLIMIT_CPU, seconds + 1)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(seconds, hard), hard))  # first a signal that names the reason
    limit(resource.RLIMIT_FSIZE, file_size)
    limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # a program that writes too much ends, as in the fork server
    # macOS refuses this one; memory is then not limited, which is part of being weak.
    with contextlib.suppress(OSError, ValueError):
        limit(resource.RLIMIT_AS, memory)
