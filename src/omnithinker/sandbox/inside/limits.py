"""POSIX resource limits, the confinement layer available on every system. Source: setrlimit(2)."""

from __future__ import annotations

import resource

OPEN_FILES = 64
"""Maximum number of open descriptors of a program."""


def limit(kind: int, value: int) -> None:
    """Set a limit permanently. A lower existing limit is kept.

    Args:
        kind: one of :mod:`resource`'s ``RLIMIT_`` constants.
        value: seconds, bytes or a count, depending on the kind.

    Raises:
        ValueError, OSError: if the system refuses the limit.
    """
    value = at_most(kind, value)
    resource.setrlimit(kind, (value, value))


def at_most(kind: int, value: int) -> int:
    """Return the value, or the existing hard limit if that is lower."""
    _, hard = resource.getrlimit(kind)
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
