"""The fork server: a fresh interpreter that never reads model text, and forks a confined child per run.

Started by :mod:`omnithinker.sandbox.slot`. Talks over one SEQPACKET socket: a request is a :data:`HEADER` with five
descriptors per child (stdin, stdout, stderr, request, report; for pairs also a shared socket); the answer is one
:data:`OUTCOME` per child. It supervises the children (CPU and wall deadlines) and dies with its owner.
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
from typing import Any, NamedTuple, NoReturn

from omnithinker.sandbox.inside import preamble, runner
from omnithinker.sandbox.inside.channel import Channel
from omnithinker.sandbox.inside.confine import Jail
from omnithinker.sandbox.inside.report import Reporter, describe

HEADER = struct.Struct("<ddB")
"""CPU and wall seconds allowed, number of children (2: a judge and its solver)."""
OUTCOME = struct.Struct("<iddqc")
"""Wait status, CPU seconds, wall seconds, peak memory in KiB, and why it was killed; one per child."""
ENDED, CPU, WALL = b"-", b"c", b"w"
SETUP_FAILED = signal.SIGUSR2
"""A child that could not confine itself dies by this."""


def main() -> None:
    """Prepare, report what confinement works, then serve until the owner is gone."""
    options = json.loads(sys.argv[1])
    control = socket.socket(fileno=options["control"])
    sys.argv[:] = ["solution.py"]
    sys.path += options["path"]
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
        _serve(control, _receive(control, owner), jail, names)


def _warm_up(names: dict[str, Any]) -> None:
    """Run a program once here, so that its one-time costs are not paid in every child."""
    sink = os.open(os.devnull, os.O_WRONLY)
    request = {"mode": "call", "code": "def f(x):\n    return [x]", "fn_name": "f", "calls": [[[1], {"d": []}]]}
    runner.serve(request, names, Reporter(sink))
    os.close(sink)


class _Request(NamedTuple):
    cpu_seconds: float
    wall_seconds: float
    children: list[list[int]]
    """Descriptors of each child."""


def _receive(control: socket.socket, owner: int) -> _Request:
    while not select.select([control], [], [], 2.0)[0]:
        if os.getppid() != owner:
            os._exit(0)
    data, descriptors, _, _ = socket.recv_fds(control, HEADER.size, 16)
    if not data:
        os._exit(0)
    cpu_seconds, wall_seconds, count = HEADER.unpack(data)
    size = len(descriptors) // count
    children = [descriptors[size * number : size * (number + 1)] for number in range(count)]
    return _Request(cpu_seconds, wall_seconds, children)


def _serve(control: socket.socket, request: _Request, jail: Jail, names: dict[str, Any]) -> None:
    template = os.getpid()
    start = time.monotonic()
    children = []
    for descriptors in request.children:
        child = os.fork()
        if child == 0:
            _child(descriptors, request.cpu_seconds, template, jail, names)
        children.append(child)
    for descriptors in request.children:
        for descriptor in descriptors:
            os.close(descriptor)
    reasons = _supervise(control, children, request.cpu_seconds, start + request.wall_seconds)
    answer = b""
    for child in children:
        _, status, usage = os.wait4(child, 0)
        cpu, wall = usage.ru_utime + usage.ru_stime, time.monotonic() - start
        answer += OUTCOME.pack(status, cpu, wall, usage.ru_maxrss, reasons.get(child, ENDED))
    control.send(answer)


def _child(descriptors: list[int], cpu_seconds: float, template: int, jail: Jail, names: dict[str, Any]) -> NoReturn:
    """Lock in, then read and run the request: descriptors 3 request, 4 report, 5 connection of a pair."""
    try:
        # First above all targets, so that none is overwritten before it is moved.
        moved = [os.dup(descriptor) for descriptor in descriptors]
        for target, descriptor in enumerate(moved):
            os.dup2(descriptor, target)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        _lock_in(jail, cpu_seconds, template, len(moved))
        with open(3, "rb") as file:
            request = json.loads(file.read())
        gc.enable()
        runner.serve(request, names, Reporter(4), Channel(5) if len(moved) > 5 else None)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, describe(error).encode("utf-8", "replace"))
        os._exit(1)
    os._exit(0)


def _lock_in(jail: Jail, cpu_seconds: float, template: int, descriptors: int) -> None:
    try:
        jail.enter(cpu_seconds, template, descriptors)
    except OSError as error:
        os.write(2, str(error).encode())
        # A signal that a confined program cannot die by: it says "the sandbox failed", not "the program failed".
        os.kill(os.getpid(), SETUP_FAILED)


def _supervise(
    control: socket.socket, children: list[int], cpu_seconds: float, wall_deadline: float
) -> dict[int, bytes]:
    """Wait until the first child ends, by itself or by our hand, and end the others; none is reaped yet.

    Returns:
        Why children were killed, where that was for a limit.
    """
    handles = {os.pidfd_open(child): child for child in children}
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    poll.register(control, 0)  # only hang-up: the owner is gone
    try:
        pause = cpu_seconds
        while True:
            events = poll.poll(max(1.0, min(pause, wall_deadline - time.monotonic()) * 1000))
            for descriptor, _ in events:
                if descriptor not in handles:
                    os._exit(0)  # the children follow: they asked the kernel to die with us
                if handles[descriptor] == children[0]:
                    return {}
                poll.unregister(descriptor)
            left = {child: cpu_seconds - time.clock_gettime(_cpu_clock(child)) for child in children}
            reasons = {child: CPU for child in children if left[child] <= 0}
            if reasons or time.monotonic() >= wall_deadline:
                return reasons or dict.fromkeys(children, WALL)
            pause = max(min(left.values()), 0.01)
    finally:
        for handle, child in handles.items():
            os.close(handle)
            os.kill(child, signal.SIGKILL)  # harmless for one that has ended: it is not reaped


def _cpu_clock(process: int) -> int:
    """CPU time of a process, see clock_getcpuclockid(3)."""
    return (~process << 3) | 2


def _probe(jail: Jail) -> dict[str, list[str]]:
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


def _observed_layers(jail: Jail) -> dict[str, list[str]]:
    layers, problems = ["rlimits", "no_new_privs", "no_capabilities", "empty_environment"], []
    if _refused(lambda: os.listdir("/")) and jail.landlock_abi:
        layers.append(f"landlock{jail.landlock_abi}")
    else:
        problems.append("landlock")
    if jail.filter is not None and _refused(socket.socket) and _refused(os.fork):
        layers.append("seccomp")
    else:
        problems.append("seccomp")
    if jail.namespaces:
        layers.append("namespaces")
    return {"layers": layers, "problems": problems}


def _refused(action: Any) -> bool:
    try:
        action()
    except PermissionError:
        return True
    return False
