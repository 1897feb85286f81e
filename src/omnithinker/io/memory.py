"""Free memory of this machine or container, and the memory that this process keeps."""

from __future__ import annotations

import ctypes
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
"""Linux's account of the machine's memory."""
CGROUP = Path("/sys/fs/cgroup")
"""Limit and use of the container that this process runs in, if there is one (cgroup v2)."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of ``mallopt`` in the C library of GNU."""


def keep_freed_memory() -> None:
    """Keep freed memory for later allocations of this process; do nothing without the C library of GNU.

    By default every large block is returned, and the kernel clears it again for the next micro-batch. Small objects
    between freed blocks keep the C library from joining them, so peak memory can grow.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


def free_memory(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """Return the bytes that processes can still allocate, caches of files counted as free; None if unknown."""
    found = [free for free in (_of_machine(meminfo), _of_container(cgroup)) if free is not None]
    return min(found, default=None)


def _of_machine(meminfo: Path) -> int | None:
    try:
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return None


def _of_container(cgroup: Path) -> int | None:
    """Return the limit less the use without caches of files; None without a limit."""
    try:
        limit, used = int((cgroup / "memory.max").read_text()), int((cgroup / "memory.current").read_text())
        counts = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(counts["inactive_file"]) + int(counts["active_file"]))
    except (OSError, ValueError, KeyError):
        return None
