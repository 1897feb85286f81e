"""The fork server: a fresh interpreter that never reads model text, and forks a confined child per run.

Started by :mod:`omnithinker.sandbox.slot`. Talks over one SEQPACKET socket: a request is a :data:`HEADER` with five
descriptors per child (stdin, stdout, stderr, request, report; for pairs also a shared socket); the answer is an
:data:`OUTCOME`. It supervises the child (CPU and wall deadlines) and dies with its owner.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

HEADER = struct.Struct("<dd")
"""CPU and wall seconds allowed."""
OUTCOME = struct.Struct("<iddqc")
"""Wait status of the first child, CPU seconds, wall seconds, peak memory in KiB, and why it was killed."""
ENDED, CPU, WALL = b"-", b"c", b"w"
DESCRIPTORS = 5
"""stdin, stdout, stderr, request, report."""
SETUP_FAILED = signal.SIGUSR2
"""A child that could not confine itself dies by this."""


def main() -> None:
    """Prepare, report what confinement works, then serve until the owner is gone."""
    from . import preamble, runner
    from .confine import Jail

    options = json.loads(sys.argv[1])
    control = socket.socket(fileno=options["control"])
    sys.path[:] = [*sys.path[1:], *options["path"]]  # without the folder that this module came from
    names = preamble.build()
    for name in options["preload"]:
        __import__(name)
    os.environ.clear()
    os.chdir("/")
    jail = Jail(options["readable"], options["listable"], options["memory"], options["file_size"])
    _warm_up(names)
    gc.collect()
    gc.freeze()
    control.send(json.dumps(_probe(jail)).encode())
    owner = os.getppid()
    while True:
        descriptors = _receive(control, owner)
        _serve(control, descriptors, jail, names, runner)


def _warm_up(names: dict[str, Any]) -> None:
    """Run a program once here, so that its one-time costs are not paid in every child."""
    from . import runner

    sink = os.open(os.devnull, os.O_WRONLY)
    request = {"mode": "call", "code": "def f(x):\n    return [x]", "fn_name": "f", "calls": [[[1], {"d": []}]]}
    runner.serve(request, names, runner.Reporter(sink))
    os.close(sink)


def _receive(control: socket.socket, owner: int) -> tuple[float, float, list[int]]:
    while not select.select([control], [], [], 2.0)[0]:
        if os.getppid() != owner:
            os._exit(0)
    data, descriptors, _, _ = socket.recv_fds(control, HEADER.size, 16)
    if not data:
        os._exit(0)
    cpu_seconds, wall_seconds = HEADER.unpack(data)
    return cpu_seconds, wall_seconds, descriptors


def _serve(
    control: socket.socket, request: tuple[float, float, list[int]], jail: Any, names: dict[str, Any], runner: Any
) -> None:
    cpu_seconds, wall_seconds, descriptors = request
    template = os.getpid()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(descriptors, cpu_seconds, template, jail, names, runner)
    for descriptor in descriptors:
        os.close(descriptor)
    reason = _supervise(control, child, cpu_seconds, start + wall_seconds)
    _, status, usage = os.wait4(child, 0)
    wall = time.monotonic() - start
    control.send(OUTCOME.pack(status, usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss, reason))


def _child(
    descriptors: list[int], cpu_seconds: float, template: int, jail: Any, names: dict[str, Any], runner: Any
) -> None:
    """Lock in, then read and run the request; never returns."""
    try:
        # First above all targets, so that none is overwritten before it is moved.
        moved = [os.dup(descriptor) for descriptor in descriptors if descriptor >= 0]
        for target, descriptor in enumerate(moved):
            os.dup2(descriptor, target)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        _lock_in(jail, cpu_seconds, template, len(moved))
        reporter = runner.Reporter(4)
        with open(3, "rb", closefd=True) as file:
            request = json.loads(file.read())
        gc.enable()
        runner.serve(request, names, reporter)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, runner.describe(error).encode("utf-8", "replace"))
        os._exit(1)
    os._exit(0)


def _lock_in(jail: Any, cpu_seconds: float, template: int, descriptors: int) -> None:
    try:
        jail.enter(cpu_seconds, template, descriptors)
    except OSError as error:
        os.write(2, str(error).encode())
        # A signal that a confined program cannot die by: it says "the sandbox failed", not "the program failed".
        os.kill(os.getpid(), SETUP_FAILED)


def _supervise(control: socket.socket, child: int, cpu_seconds: float, wall_deadline: float) -> bytes:
    """Wait until the child ends by itself or by our hand; it is not yet reaped."""
    handle = os.pidfd_open(child)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(control, 0)  # only hang-up: the owner is gone
    clock = (~child << 3) | 2  # CPU time of a process (clock_getcpuclockid(3))
    pause = cpu_seconds
    try:
        while not (events := poll.poll(max(1.0, min(pause, wall_deadline - time.monotonic()) * 1000))):
            left = cpu_seconds - time.clock_gettime(clock)
            if left <= 0 or time.monotonic() >= wall_deadline:
                os.kill(child, signal.SIGKILL)
                return CPU if left <= 0 else WALL
            pause = max(left, 0.01)
        if all(descriptor != handle for descriptor, _ in events):
            os._exit(0)  # the child follows: it asked the kernel to die with us
        return ENDED
    finally:
        os.close(handle)


def _probe(jail: Any) -> dict[str, list[str]]:
    """Try in a child what confinement must refuse, and name the layers that were seen to work."""
    reader, writer = os.pipe()
    template = os.getpid()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 0)
        try:
            jail.enter(10, template, 1)
            result = _observed_layers(jail)
        except BaseException as error:
            result = {"layers": [], "problems": [f"{type(error).__name__}: {error}"]}
        os.write(0, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else {"layers": [], "problems": ["the probe died"]}


def _observed_layers(jail: Any) -> dict[str, list[str]]:
    layers, problems = ["rlimits", "no_new_privs", "no_capabilities", "empty_environment"], []
    if _refused(lambda: os.listdir("/")) and jail.landlock_abi:
        layers.append(f"landlock{jail.landlock_abi}")
    else:
        problems.append("landlock")
    if jail.filter is not None and _refused(socket.socket) and _refused(os.fork):
        layers.append("seccomp")
    else:
        problems.append("seccomp")
    return {"layers": layers, "problems": problems}


def _refused(action: Any) -> bool:
    try:
        action()
    except PermissionError:
        return True
    return False
