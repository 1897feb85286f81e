"""Resource limits of POSIX, the layer of confinement that every system has. Source: setrlimit(2)."""

from __future__ import annotations

import resource

OPEN_FILES = 64
"""Most descriptors that a program may hold."""


def limit(kind: int, value: int) -> None:
    """Set a limit for good; one that is lower already stays.

    Args:
        kind: one of :mod:`resource`'s ``RLIMIT_`` numbers.
        value: seconds, bytes or a count, as the kind has it.

    Raises:
        ValueError, OSError: the system does not let this one be set.
    """
    value = at_most(kind, value)
    resource.setrlimit(kind, (value, value))


def at_most(kind: int, value: int) -> int:
    """The value, or the limit that is there already if that is lower; see :func:`limit`."""
    _, hard = resource.getrlimit(kind)
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
