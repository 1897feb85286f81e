"""The inside of :class:`omnithinker.sandbox.plain_slot.PlainSlot`: limits itself, then reads and runs one request."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys

from omnithinker.sandbox.inside import preamble, runner
from omnithinker.sandbox.inside.channel import Channel
from omnithinker.sandbox.inside.report import Reporter, describe

SETUP_FAILED = signal.SIGUSR2
"""As in the fork server: this process could not limit itself."""


def main() -> None:
    """Limit this process, then run the request behind the first descriptor; report to the second."""
    options = json.loads(sys.argv[1])
    sys.argv[:] = ["solution.py"]
    sys.path += options["path"]
    descriptors = options["descriptors"]
    names = preamble.build()
    for name in options["preload"]:
        __import__(name)
    os.environ.clear()
    try:
        _limit(options)
    except (OSError, ValueError) as error:
        os.write(2, str(error).encode())
        os.kill(os.getpid(), SETUP_FAILED)
    with open(descriptors[0], "rb") as file:
        request = json.loads(file.read())
    try:
        connection = Channel(descriptors[2]) if len(descriptors) > 2 else None
        runner.serve(request, names, Reporter(descriptors[1]), connection)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, describe(error).encode("utf-8", "replace"))
        os._exit(1)
    os._exit(0)


def _limit(options: dict[str, float]) -> None:
    """CPU time, file size, open files and processes; address space where the system lets it be set."""
    cpu = int(options["cpu_seconds"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    for kind, value in ((resource.RLIMIT_FSIZE, int(options["file_size"])), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, (value, value))
    # macOS refuses this one; memory is then not limited, which is part of being weak.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (int(options["memory"]), int(options["memory"])))
