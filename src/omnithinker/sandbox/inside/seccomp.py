"""A seccomp filter: system calls that are not on the allow list fail with EPERM (or ENOSYS if unknown).

Layout of ``struct seccomp_data``: call number at byte 0, architecture at 4, arguments of 8 bytes from 16. The filter
reads only the low half of an argument, from which the kernel takes flags and commands, and both halves of a pointer.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Mapping, Sequence

from omnithinker.sandbox.inside.syscalls import AARCH64, X86_64

_LOAD, _AND, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _ENOTTY = (_ERRNO | number for number in (errno.EPERM, errno.ENOSYS, errno.ENOTTY))

_CLONE_THREAD = 0x00010000
_CLONE_NEW = 0x7E020000
"""Flags of ``clone`` that create a namespace."""
_TERMINAL_QUERIES = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""``ioctl`` commands without effect outside the caller: TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_DESCRIPTOR_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 1030)
"""Allowed ``fcntl`` commands: duplicate, flags, record locks. Owner and signal could signal other processes."""
_AF_UNIX, _SOCK_STREAM = 1, 1
_SOCKET_FLAGS = 0x80800
"""Bits of a socket's type that are flags: SOCK_CLOEXEC, SOCK_NONBLOCK."""
_FIRST_UNKNOWN = 452
"""First system call number that is newer than the tables."""

_ARCHITECTURES = {"x86_64": (0xC000003E, X86_64), "aarch64": (0xC00000B7, AARCH64)}

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""

Range = tuple[int, list[Instruction]]
"""First call number of a range, and the instructions for all calls up to the next range."""


class SockFprog(ctypes.Structure):
    """``struct sock_fprog``: a filter as ``prctl`` takes it."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def supported() -> bool:
    """Return True if there is a table for this machine's architecture."""
    return platform.machine() in _ARCHITECTURES


def build() -> SockFprog:
    """Assemble the filter. Installing it takes one system call per child."""
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in _program())
    buffer = ctypes.create_string_buffer(code, len(code))
    program = SockFprog(len(code) // 8, ctypes.addressof(buffer))
    program.buffer = buffer  # keeps the pointer's memory alive
    return program


def _program() -> list[Instruction]:
    architecture, table = _ARCHITECTURES[platform.machine()]
    return [
        (_LOAD, 0, 0, 4),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        *_search(_ranges(table)),
    ]


def _ranges(table: Mapping[str, int]) -> list[Range]:
    """Return the treatment of every call number as ascending ranges, with equal neighbours merged."""
    special = {
        "clone": _threads_only(),
        "clone3": [(_RETURN, 0, 0, _ENOSYS)],  # its flags are behind a pointer; the C library falls back to clone
        "prlimit64": _only(0, (0,), _EPERM),
        "ioctl": _only(1, _TERMINAL_QUERIES, _ENOTTY),
        "fcntl": _only(1, _DESCRIPTOR_COMMANDS, _EPERM),
        # An event loop wakes itself up by a socket pair. Its ends reach nothing else, as there is no call to connect or
        # bind them, and without control messages (``sendmsg``) they pass no descriptors.
        "socketpair": _unix_stream(),
        "sendto": _no_address_or_flags(),
        "recvfrom": _no_address_or_flags(),
    }
    blocks = {number: special.get(name, [(_RETURN, 0, 0, _ALLOW)]) for name, number in table.items()}
    refused: list[Instruction] = [(_RETURN, 0, 0, _EPERM)]
    ranges = [(0, blocks.get(0, refused))]
    for number in range(1, _FIRST_UNKNOWN):
        block = blocks.get(number, refused)
        if block != ranges[-1][1]:
            ranges.append((number, block))
    # Newer calls, and the x32 variants of old ones, are reported as unknown.
    return [*ranges, (_FIRST_UNKNOWN, [(_RETURN, 0, 0, _ENOSYS)])]


def _search(ranges: Sequence[Range]) -> list[Instruction]:
    """Find the range of the loaded number by bisection. Installing a filter runs it for every call number."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    lower, upper = _search(ranges[:middle]), _search(ranges[middle:])
    return [(_JUMP_GREATER_EQUAL, len(lower), 0, ranges[middle][0]), *lower, *upper]


def _argument(index: int, *, high: bool = False) -> Instruction:
    return (_LOAD, 0, 0, 16 + 8 * index + 4 * high)


def _threads_only() -> list[Instruction]:
    return [
        _argument(0),
        (_JUMP_SET, 2, 0, _CLONE_NEW),
        (_JUMP_SET, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EPERM),
    ]


def _unix_stream() -> list[Instruction]:
    return [
        _argument(0),
        (_JUMP_EQUAL, 0, 3, _AF_UNIX),
        _argument(1),
        (_AND, 0, 0, 0xFFFFFFFF & ~_SOCKET_FLAGS),
        (_JUMP_EQUAL, 1, 0, _SOCK_STREAM),
        (_RETURN, 0, 0, _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _no_address_or_flags() -> list[Instruction]:
    """Allow ``send`` and ``recv``: no flags (such as out-of-band data), and a null pointer instead of an address."""
    return [
        _argument(3),
        (_JUMP_EQUAL, 0, 5, 0),
        _argument(4),
        (_JUMP_EQUAL, 0, 3, 0),
        _argument(4, high=True),
        (_JUMP_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EPERM),
    ]


def _only(index: int, values: tuple[int, ...], refusal: int) -> list[Instruction]:
    checks: list[Instruction] = []
    for value in values:
        checks += [(_JUMP_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [_argument(index), *checks, (_RETURN, 0, 0, refusal)]
