"""The fork server: a fresh interpreter that never reads model text, and forks a confined child per run.

Started by :mod:`omnithinker.sandbox.slot`. Talks over one SEQPACKET socket: a request is a :data:`HEADER` with five
descriptors per child (stdin, stdout, stderr, request, report; for pairs also a shared socket); the answer is one
:data:`OUTCOME` per child. It supervises the children (CPU and wall deadlines) and dies with its owner.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
import types
from typing import Any, NamedTuple, NoReturn

from omnithinker.sandbox.inside import preamble, runner
from omnithinker.sandbox.inside.channel import Channel
from omnithinker.sandbox.inside.confine import Jail
from omnithinker.sandbox.inside.rehearsal import rehearse
from omnithinker.sandbox.inside.report import Reporter, describe

HEADER = struct.Struct("<B")
"""Number of children (2: a judge and its solver)."""
OUTCOME = struct.Struct("<iddqc")
"""Wait status, CPU seconds, wall seconds, peak memory in KiB, and why it was killed; one per child."""
ENDED, CPU, WALL = b"-", b"c", b"w"
_OWN_DESCRIPTORS = 16
"""The template's own descriptors start here. All below are free when a request comes, whose first child's descriptors
therefore come as 0, 1, 2 ..., where the child needs them."""
SETUP_FAILED = signal.SIGUSR2
"""A child that could not confine itself dies by this."""


def main() -> None:
    """Prepare, report what confinement works, then serve until the owner is gone."""
    options = json.loads(sys.argv[1])
    control = socket.socket(fileno=fcntl.fcntl(options["control"], fcntl.F_DUPFD, _OWN_DESCRIPTORS))
    os.close(options["control"])
    sys.argv[:] = ["solution.py"]
    sys.modules["__main__"] = types.ModuleType("__main__")  # programs need not see how they were started
    sys.path += options["path"]
    names = preamble.build()
    for name in options["preload"]:
        __import__(name)
    os.environ.clear()
    os.chdir("/")
    deadlines = options["cpu_seconds"], options["wall_seconds"]
    jail = Jail(
        options["readable"], options["listable"], options["memory"], options["file_size"], options["cpu_seconds"]
    )
    kit = Kit(*deadlines, jail, names, Reporter(runner.REPORT))
    rehearse(names, jail, kit.reporter)
    gc.collect()
    gc.disable()
    gc.freeze()
    control.send(json.dumps(_probe(jail)).encode())
    os.closerange(0, _OWN_DESCRIPTORS)
    owner = os.getppid()
    while True:
        _serve(control, _receive(control, owner), kit)


class Kit(NamedTuple):
    """What every run takes, and may take."""

    cpu_seconds: float
    """Of each child."""
    wall_seconds: float
    """Of the run."""
    jail: Jail
    names: dict[str, Any]
    """The preamble, built-in names included."""
    reporter: Reporter


def _receive(control: socket.socket, owner: int) -> list[list[int]]:
    """Descriptors of each child of the next request."""
    while not select.select([control], [], [], 2.0)[0]:
        if os.getppid() != owner:
            os._exit(0)
    data, descriptors, _, _ = socket.recv_fds(control, HEADER.size, 16)
    if not data:
        os._exit(0)
    size = len(descriptors) // HEADER.unpack(data)[0]
    return [descriptors[start : start + size] for start in range(0, len(descriptors), size)]


def _serve(control: socket.socket, request: list[list[int]], kit: Kit) -> None:
    start = time.monotonic()
    children = []
    for descriptors in request:
        # Put in place here and not in the child, where every step costs copies of the pages it touches.
        for target, descriptor in enumerate(descriptors):
            if descriptor != target:
                os.dup2(descriptor, target)
        child = os.fork()
        if child == 0:
            _child(len(descriptors), kit)
        children.append(child)
    os.closerange(0, _OWN_DESCRIPTORS)  # so that each process of a pair sees when the other ends
    reasons = _supervise(control, children, kit.cpu_seconds, start + kit.wall_seconds)
    answer = b""
    for child in children:
        _, status, usage = os.wait4(child, 0)
        cpu, wall = usage.ru_utime + usage.ru_stime, time.monotonic() - start
        answer += OUTCOME.pack(status, cpu, wall, usage.ru_maxrss, reasons.get(child, ENDED))
    control.send(answer)


def _child(descriptors: int, kit: Kit) -> NoReturn:
    """Lock in, then read and run the request."""
    try:
        kit.jail.enter(descriptors)
    except OSError as error:
        os.write(2, str(error).encode())
        # A signal that a confined program cannot die by: it says "the sandbox failed", not "the program failed".
        os.kill(os.getpid(), SETUP_FAILED)
    try:
        gc.enable()
        channel = Channel(runner.CONNECTION) if descriptors > runner.CONNECTION else None
        runner.answer(kit.names, kit.reporter, channel)
    except BaseException as error:
        os.write(2, describe(error).encode("utf-8", "replace"))
        os._exit(1)
    os._exit(0)


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
    child = os.fork()
    if child == 0:
        os.dup2(writer, 0)
        try:
            jail.enter(1)
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
