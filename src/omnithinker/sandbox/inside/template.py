"""The fork server: a fresh interpreter that never reads model-written text and forks a confined child per run.

Started by :mod:`omnithinker.sandbox.slot`. The two communicate over one SEQPACKET socket: a request is :data:`ALONE` or
:data:`ENDS_WITH_PEER` with five descriptors (stdin, stdout, stderr, request, report; for one of a pair also its end of
their socket), the answer one :data:`OUTCOME`. The fork server enforces the CPU and wall deadlines of its child and
exits with its owner.
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
from omnithinker.sandbox.inside.report import Reporter, describe_error
from omnithinker.sandbox.inside.warmup import warm_up

ALONE, ENDS_WITH_PEER = b"a", b"p"
"""Requests: run until the child ends, or at most until the other end of its socket closes (a solver)."""
OUTCOME = struct.Struct("<iddqc")
"""Wait status, CPU seconds, wall seconds, peak memory in KiB, and kill reason."""
NOT_KILLED, CPU_EXCEEDED, WALL_EXCEEDED = b"-", b"c", b"w"
"""Kill reasons."""
_OWN_DESCRIPTORS = 16
"""Lowest descriptor of the template's own. All lower ones are free when a request arrives, so its descriptors arrive as
0, 1, 2 ..., where the child needs them."""
SETUP_FAILED = signal.SIGUSR2
"""Signal that ends a child that cannot confine itself."""


def main() -> None:
    """Prepare, report the working confinement layers, then serve until the owner is gone."""
    options = json.loads(sys.argv[1])
    control = socket.socket(fileno=fcntl.fcntl(options["control"], fcntl.F_DUPFD, _OWN_DESCRIPTORS))
    os.close(options["control"])
    sys.argv[:] = ["solution.py"]
    sys.modules["__main__"] = types.ModuleType("__main__")  # hides the bootstrap from programs
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
    context = RunContext(*deadlines, jail, names, Reporter(runner.REPORT))
    warm_up(names, jail, context.reporter)
    gc.collect()
    gc.disable()
    gc.freeze()
    control.send(json.dumps(_probe(jail)).encode())
    os.closerange(0, _OWN_DESCRIPTORS)
    owner = os.getppid()
    while True:
        _serve(control, *_receive(control, owner), context)


class RunContext(NamedTuple):
    """Limits and shared objects of every run."""

    cpu_seconds: float
    """CPU time of each child, seconds."""
    wall_seconds: float
    """Wall time of the run, seconds."""
    jail: Jail
    """Confinement that each child enters."""
    names: dict[str, Any]
    """The preamble, built-ins included."""
    reporter: Reporter
    """Writer of report lines."""


def _receive(control: socket.socket, owner: int) -> tuple[bytes, int]:
    """Wait for the next request; return its first byte and the number of its descriptors."""
    while not select.select([control], [], [], 2.0)[0]:
        if os.getppid() != owner:
            os._exit(0)
    request, descriptors, _, _ = socket.recv_fds(control, 1, _OWN_DESCRIPTORS)
    if not request:
        os._exit(0)
    return request, len(descriptors)


def _serve(control: socket.socket, request: bytes, descriptors: int, context: RunContext) -> None:
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(descriptors, context)
    peer = runner.CONNECTION if request == ENDS_WITH_PEER else None
    # A judge's own end must not stay open here: the solver's fork server waits for it to close.
    os.closerange(0, runner.CONNECTION if peer is not None else _OWN_DESCRIPTORS)
    reason = _supervise(control, child, peer, context.cpu_seconds, start + context.wall_seconds)
    _, status, usage = os.wait4(child, 0)
    if peer is not None:
        os.close(peer)
    cpu, wall = usage.ru_utime + usage.ru_stime, time.monotonic() - start
    control.send(OUTCOME.pack(status, cpu, wall, usage.ru_maxrss, reason))


def _child(descriptors: int, context: RunContext) -> NoReturn:
    """Enter the jail, then read and run the request."""
    try:
        context.jail.enter(descriptors)
    except OSError as error:
        os.write(2, str(error).encode())
        # A confined program cannot die by this signal, so it means that the sandbox failed and not the program.
        os.kill(os.getpid(), SETUP_FAILED)
    try:
        gc.enable()
        channel = Channel(runner.CONNECTION) if descriptors > runner.CONNECTION else None
        runner.answer(context.names, context.reporter, channel)
    except BaseException as error:
        os.write(2, describe_error(error).encode("utf-8", "replace"))
        os._exit(1)
    os._exit(0)


def _supervise(control: socket.socket, child: int, peer: int | None, cpu_seconds: float, wall_deadline: float) -> bytes:
    """Wait until the child ends, its peer is gone, or it exceeds a limit; then kill it without reaping it.

    Returns:
        Kill reason.
    """
    handle = os.pidfd_open(child)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(control, 0)  # reports hang-up alone: the owner is gone
    if peer is not None:
        poll.register(peer, 0)
    try:
        pause = cpu_seconds
        while True:
            events = poll.poll(max(1.0, min(pause, wall_deadline - time.monotonic()) * 1000))
            for descriptor, _ in events:
                if descriptor == control.fileno():
                    os._exit(0)  # the kernel then kills the child, by its parent-death signal
                return NOT_KILLED
            pause = cpu_seconds - time.clock_gettime(_cpu_clock(child))
            if pause <= 0:
                return CPU_EXCEEDED
            if time.monotonic() >= wall_deadline:
                return WALL_EXCEEDED
            pause = max(pause, 0.01)
    finally:
        os.close(handle)
        os.kill(child, signal.SIGKILL)  # harmless for a child that has ended, as it is not reaped yet


def _cpu_clock(process: int) -> int:
    """Return the id of a process's CPU clock; see clock_getcpuclockid(3)."""
    return (~process << 3) | 2


def _probe(jail: Jail) -> dict[str, list[str]]:
    """Attempt forbidden operations in a confined child; return the layers that work and the missing ones."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 0)
        try:
            jail.enter(1)
            result = _verify_layers(jail)
        except BaseException as error:
            result = {"layers": [], "problems": [f"{type(error).__name__}: {error}"]}
        os.write(0, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else {"layers": [], "problems": ["the probe died"]}


def _verify_layers(jail: Jail) -> dict[str, list[str]]:
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
