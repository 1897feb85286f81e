"""The seccomp filter of every architecture, run by a small interpreter of its instructions."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from omnithinker.sandbox.inside import seccomp, syscalls

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS, ENOTTY = (0x50000 | number for number in (errno.EPERM, errno.ENOSYS, errno.ENOTTY))
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
REFUSED = {
    "x86_64": {
        "socket": 41,
        "fork": 57,
        "vfork": 58,
        "execve": 59,
        "kill": 62,
        "ptrace": 101,
        "chmod": 90,
        "mkdir": 83,
    },
    "aarch64": {"socket": 198, "execve": 221, "kill": 129, "ptrace": 117, "fchmodat": 53, "mkdirat": 34, "mount": 40},
}
THREAD = 0x3D0F00  # flags that the C library passes for a new thread
FORK = 0x1200011


def verdict(machine, monkeypatch, number, *arguments, audit=None):
    """Run the filter on one system call."""
    monkeypatch.setattr(seccomp.platform, "machine", lambda: machine)
    program = seccomp._program()
    data = {0: number, 4: AUDIT[machine] if audit is None else audit}
    for index, value in enumerate((*arguments, *[0] * (6 - len(arguments)))):
        data |= {16 + 8 * index: value & 0xFFFFFFFF, 20 + 8 * index: value >> 32}
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, constant = program[at]
        at += 1
        match code:
            case 0x20:
                accumulator = data[constant]
            case 0x54:
                accumulator &= constant
            case 0x15:
                at += if_true if accumulator == constant else if_false
            case 0x35:
                at += if_true if accumulator >= constant else if_false
            case 0x45:
                at += if_true if accumulator & constant else if_false
            case 0x06:
                return constant


@pytest.mark.parametrize("machine", AUDIT)
def test_calls_by_number(machine, monkeypatch):
    table = {"x86_64": syscalls.X86_64, "aarch64": syscalls.AARCH64}[machine]
    for name in ("read", "write", "mmap", "futex", "exit_group", "openat", "clock_gettime"):
        assert verdict(machine, monkeypatch, table[name]) == ALLOW, name
    for name, number in REFUSED[machine].items():
        assert number not in table.values()
        assert verdict(machine, monkeypatch, number) == EPERM, name
    assert verdict(machine, monkeypatch, table["clone3"]) == ENOSYS
    assert verdict(machine, monkeypatch, 0x40000000 | table["read"]) == ENOSYS
    assert verdict(machine, monkeypatch, 5000) == ENOSYS


@pytest.mark.parametrize("machine", AUDIT)
def test_calls_outside_the_table_are_refused(machine, monkeypatch):
    table = {"x86_64": syscalls.X86_64, "aarch64": syscalls.AARCH64}[machine]
    by_argument = {table[name] for name in ("clone", "clone3", "prlimit64", "ioctl", "fcntl", "socketpair")}
    for number in range(452):
        expected = ALLOW if number in table.values() else EPERM
        assert number in by_argument or verdict(machine, monkeypatch, number) == expected, number
    for number in (452, 500, 1 << 30, (1 << 30) + 1, (1 << 32) - 1):
        assert verdict(machine, monkeypatch, number) == ENOSYS


@pytest.mark.parametrize("machine", AUDIT)
def test_calls_by_argument(machine, monkeypatch):
    table = {"x86_64": syscalls.X86_64, "aarch64": syscalls.AARCH64}[machine]
    cases = [
        ("clone", (THREAD,), ALLOW),
        ("clone", (FORK,), EPERM),
        ("clone", (THREAD | 0x10000000,), EPERM),
        ("prlimit64", (0,), ALLOW),
        ("prlimit64", (1,), EPERM),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), ENOTTY),
        ("fcntl", (0, 3), ALLOW),
        ("fcntl", (0, 8), EPERM),
        ("ioctl", (0, 0x5421), ALLOW),
        ("socketpair", (1, 1), ALLOW),
        ("socketpair", (1, 1 | 0x80800), ALLOW),
        ("socketpair", (1, 1 | 0x1000), EPERM),
        ("socketpair", (1, 2), EPERM),
        ("socketpair", (1, 5), EPERM),
        ("socketpair", (2, 1), EPERM),
        ("socketpair", (16, 3), EPERM),
        *((name, (5, 1 << 40, 9), ALLOW) for name in ("sendto", "recvfrom")),
        *((name, (5, 1 << 40, 9, 0, 1 << 12), EPERM) for name in ("sendto", "recvfrom")),
        *((name, (5, 1 << 40, 9, 0, 1 << 40), EPERM) for name in ("sendto", "recvfrom")),
        *((name, (5, 1 << 40, 9, flags), EPERM) for name in ("sendto", "recvfrom") for flags in (1, 2, 0x40)),
    ]
    for name, arguments, expected in cases:
        assert verdict(machine, monkeypatch, table[name], *arguments) == expected, (name, arguments)


def test_other_architectures_are_killed(monkeypatch):
    assert verdict("x86_64", monkeypatch, 0, audit=0x40000003) == KILL
    assert verdict("aarch64", monkeypatch, 63, audit=AUDIT["x86_64"]) == KILL


@pytest.mark.parametrize("machine", AUDIT)
def test_jump_offsets_fit_in_a_byte(machine, monkeypatch):
    monkeypatch.setattr(seccomp.platform, "machine", lambda: machine)
    program = seccomp._program()
    assert len(program) <= 4096
    assert all(0 <= jump <= 255 for _, *jumps, _ in program for jump in jumps)


def test_unsupported_machines_have_no_filter(monkeypatch):
    monkeypatch.setattr(seccomp.platform, "machine", lambda: "riscv64")
    assert not seccomp.supported()


HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_match_the_kernel_headers(machine):
    header = next((path for path in map(Path, HEADERS[machine]) if path.exists()), None)
    if header is None:
        pytest.skip("the kernel's headers are not installed")
    defined = dict(re.findall(r"^#define __NR(?:3264)?_(\w+) (\d+)$", header.read_text(), re.MULTILINE))
    # On 64-bit machines these have names without a size.
    names = {"newfstatat": "fstatat"} if machine == "aarch64" else {}
    table = {"x86_64": syscalls.X86_64, "aarch64": syscalls.AARCH64}[machine]
    known = {name: int(defined.get(names.get(name, name), -1)) for name in table}
    newer_than_header = {name for name in known if known[name] == -1 and table[name] >= 435}
    assert {name: number for name, number in table.items() if name not in newer_than_header} == {
        name: number for name, number in known.items() if name not in newer_than_header
    }
    for name, number in REFUSED[machine].items():
        assert int(defined[name]) == number
