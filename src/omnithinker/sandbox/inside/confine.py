"""Confinement that needs no privilege: resource limits, no_new_privs, no capabilities, Landlock, seccomp.

Limits that the template can work under are applied there and inherited. Each child takes the remaining steps before it
reads any model-written text. The steps are few, because every page that a child touches has to be copied.
Sources: landlock(7), seccomp(2), prctl(2), capabilities(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
from collections.abc import Callable, Iterable
from typing import Any

from omnithinker.sandbox.inside import seccomp
from omnithinker.sandbox.inside.limits import OPEN_FILES, at_most, limit

_libc = ctypes.CDLL(None, use_errno=True)

_PR_GET_DUMPABLE = 3
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_FILTER = 1, 22, 38, 2
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION, _RULE_PATH_BENEATH = 1, 1
_FS_WRITE_FILE, _FS_READ_FILE, _FS_READ_DIR = 1 << 1, 1 << 2, 1 << 3
_FS_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Landlock version -> number of file-system rights it has. All of them are handled, that is, refused by default."""
_CLONE_NEW, _CLONE_NEWUSER = 0x40000000 | 0x08000000 | 0x04000000, 0x10000000
"""Flags for new namespaces of network, IPC and host name; of users."""
_CAPABILITY_VERSION_3 = 0x20080522


Step = tuple[str, Callable[..., int], tuple[Any, ...]]
"""A system call: its name, a function that returns a negative number on failure, and the function's arguments."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("sets", ctypes.c_uint32 * 6),)


class Jail:
    """Confines the template as far as it can work, and prepares the confinement of each child.

    Args:
        readable: folders and files that a program may read; all others are refused.
        listable: folders that a program may list without reading their files.
        memory: address space of a child, bytes.
        file_size: maximum size of each file that a child writes, bytes.
        cpu_seconds: CPU time of a child; the kernel enforces whole seconds, the supervisor the exact limit.
    """

    def __init__(
        self, readable: Iterable[str], listable: Iterable[str], memory: int, file_size: int, cpu_seconds: float
    ) -> None:
        self.namespaces = _leave_namespaces()
        limit(resource.RLIMIT_AS, memory)
        limit(resource.RLIMIT_FSIZE, file_size)
        limit(resource.RLIMIT_NOFILE, OPEN_FILES)
        limit(resource.RLIMIT_CORE, 0)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        self._cpu_limit = (at_most(resource.RLIMIT_CPU, int(cpu_seconds) + 2),) * 2
        self._template = os.getpid()
        _drop_capabilities()
        _perform([("no_new_privs", _libc.prctl, (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))])
        self.landlock_abi = landlock_abi()
        self.ruleset = _make_ruleset(self.landlock_abi, readable, listable) if self.landlock_abi else None
        self.filter = seccomp.build() if seccomp.supported() else None
        self._first: list[Step] = [("prctl", _libc.prctl, (_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))]
        self._last: list[Step] = []
        if self.ruleset is not None:
            restrict = (_SYS_LANDLOCK_RESTRICT, self.ruleset, 0)
            self._first.append(("landlock_restrict_self", _libc.syscall, restrict))
        if self.filter is not None:
            install = (_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.byref(self.filter), 0, 0)
            self._last.append(("seccomp", _libc.prctl, install))

    @staticmethod
    def warm_up() -> None:
        """Make system calls as :meth:`enter` does, without effect; see :mod:`.warmup`."""
        version = (_SYS_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)
        # Without Landlock the second call fails; the layer is then missing anyway.
        with contextlib.suppress(OSError):
            _perform([("prctl", _libc.prctl, (_PR_GET_DUMPABLE, 0, 0, 0, 0)), ("version", _libc.syscall, version)])

    def enter(self, descriptors: int) -> None:
        """Confine the calling process permanently. Exits if the template is already gone.

        Args:
            descriptors: number of descriptors to keep; all from this number on are closed.

        Raises:
            OSError: if a layer that this machine has cannot be applied.
        """
        _perform(self._first)
        if os.getppid() != self._template:
            os._exit(1)
        resource.setrlimit(resource.RLIMIT_CPU, self._cpu_limit)
        os.closerange(descriptors, OPEN_FILES)
        _perform(self._last)


def _leave_namespaces() -> bool:
    """Enter new network, IPC and host-name namespaces; return True if the kernel allows it.

    Root enters them directly, others through a user namespace that keeps their ids. Nothing depends on this layer: many
    machines and containers forbid it.
    """
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEW) == 0:
        return True
    if not os.path.exists("/proc/self/setgroups") or _libc.unshare(_CLONE_NEW | _CLONE_NEWUSER) != 0:
        return False  # an outer jail without /proc has already done so
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return True


def landlock_abi() -> int:
    """Return the kernel's Landlock version; 0 if it has none or does not allow it."""
    return max(0, int(_libc.syscall(_SYS_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)))


def _make_ruleset(abi: int, readable: Iterable[str], listable: Iterable[str]) -> int:
    rights = _FS_RIGHTS_BY_ABI.get(abi, 16)
    attributes = _Ruleset((1 << rights) - 1, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = int(_libc.syscall(_SYS_LANDLOCK_CREATE, ctypes.byref(attributes), size, 0))
    _check(ruleset, "landlock_create_ruleset")
    for path in readable:
        _allow(ruleset, path, _FS_READ_FILE | _FS_READ_DIR)
    for path in listable:
        _allow(ruleset, path, _FS_READ_DIR)
    _allow(ruleset, os.devnull, _FS_READ_FILE | _FS_WRITE_FILE)
    _allow(ruleset, "/dev/urandom", _FS_READ_FILE)
    # A child reassigns the low descriptors before it uses the ruleset.
    high = fcntl.fcntl(ruleset, fcntl.F_DUPFD_CLOEXEC, OPEN_FILES // 2)
    os.close(ruleset)
    return high


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # missing, or not readable by us: then a program cannot read it either
    try:
        allowed = rights if os.path.isdir(path) else rights & ~_FS_READ_DIR
        rule = _PathBeneath(allowed, descriptor)
        _check(
            _libc.syscall(_SYS_LANDLOCK_ADD, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0),
            f"landlock_add_rule {path}",
        )
    finally:
        os.close(descriptor)


def _drop_capabilities() -> None:
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(ctypes.byref(header), ctypes.byref(_Capabilities())), "capset")


def _perform(steps: list[Step]) -> None:
    for name, function, arguments in steps:
        if function(*arguments) < 0:
            _check(-1, name)


def _check(result: int, call: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
