"""Locks that keep two processes from writing into the same run folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omnithinker.errors import Interrupted
from omnithinker.io.files import make_folder, writing
from omnithinker.io.layout import LOCK

HEARTBEAT_S = 60.0
"""Seconds between touches of a held lock."""
STALE_AFTER_S = 600.0
"""Age in seconds at which the lock of another machine counts as abandoned."""
LOOK_S = 0.05
"""More than the seconds for which :func:`lock_holder` shares a lock to learn if it is held."""


@contextlib.contextmanager
def lock(folder: Path, file: str | None = None) -> Iterator[None]:
    """Hold the lock of a folder, or of one file in it, for the duration of a ``with`` block.

    The system releases the lock of a process that ends in any way. Not every network file system tells other machines
    about locks, so the file also names its holder, who touches it at intervals.

    Args:
        folder: folder to lock; created if missing.
        file: lock only the file of this name that will be written to the folder.

    Raises:
        BadInput: if the folder cannot be written to.
        Interrupted: if another process holds the lock.
    """
    path = make_folder(folder) / (LOCK if file is None else f".{file}.{LOCK}")
    descriptor = _acquire(path)
    if descriptor is None:
        time.sleep(LOOK_S)
        descriptor = _acquire(path)
    if descriptor is None:
        holder = _holder_of(path) or {}
        raise Interrupted(
            f"{folder if file is None else folder / file}: in use by process {holder.get('pid', 'unknown')} on "
            f"{holder.get('host', 'another machine')}; repeat this command when that process has ended"
        )
    released = threading.Event()
    heartbeat = threading.Thread(target=_touch_until, args=(path, released), name="folder lock", daemon=True)
    try:
        with writing(path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
        heartbeat.start()
        yield
    finally:
        released.set()
        if heartbeat.ident is not None:
            heartbeat.join()
        path.unlink(missing_ok=True)
        os.close(descriptor)


def lock_holder(folder: Path) -> dict[str, Any] | None:
    """Return host and process of the process that works in a folder; None if there is none."""
    return _holder_of(folder / LOCK)


def _holder_of(file: Path) -> dict[str, Any] | None:
    try:
        with file.open("rb") as stream:
            holder = _read_holder(stream.read())
            held = not _try_lock(stream.fileno(), fcntl.LOCK_SH) or _on_other_machine(file.parent, holder)
    except OSError:
        return None
    return holder if held else None


def _acquire(file: Path) -> int | None:
    """Return a descriptor that holds the lock; None if another process holds it."""
    while True:
        with writing(file):
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        free = _try_lock(descriptor, fcntl.LOCK_EX)
        free = free and not _on_other_machine(file.parent, _read_holder(os.pread(descriptor, 4096, 0)))
        # A holder removes the file before it releases the lock, so this one may be on a file that has no name any more.
        if free and _is_named(descriptor, file):
            return descriptor
        os.close(descriptor)
        if not free:
            return None


def _try_lock(descriptor: int, kind: int) -> bool:
    """Lock an open file; False if another process has locked it. True too if the file system has no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _read_holder(content: bytes) -> dict[str, Any]:
    """Parse the record of a lock; empty if it is damaged, as after a crash in the middle of writing it."""
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _on_other_machine(folder: Path, holder: dict[str, Any]) -> bool:
    """Return True if another machine holds the lock and has touched the folder lately."""
    if holder.get("host") in (None, socket.gethostname()):
        return False
    return time.time() - max(map(_modified, folder.iterdir()), default=0.0) < STALE_AFTER_S


def _modified(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):  # a temporary file
        return path.stat().st_mtime
    return 0.0


def _is_named(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _touch_until(file: Path, released: threading.Event) -> None:
    """Touch a lock at intervals: a long step or evaluation may write no file for a while."""
    while not released.wait(HEARTBEAT_S):
        with contextlib.suppress(FileNotFoundError):  # removed by hand; the run continues
            os.utime(file)
