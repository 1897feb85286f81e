"""Locks that keep two processes from running the same stage. Needs no torch."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omnithinker.errors import Interrupted
from omnithinker.io.files import make_folder
from omnithinker.io.layout import LOCK

HEARTBEAT_S = 60.0
"""Seconds between touches of a held lock."""
STALE_AFTER_S = 600.0
"""Age in seconds at which the lock of another machine counts as abandoned."""


@contextlib.contextmanager
def lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of a stage for the duration of a ``with`` block.

    Args:
        folder: folder of the stage; created if missing.
        name: name of the stage, for messages.

    Raises:
        Interrupted: if another process holds it.
    """
    file = make_folder(folder) / LOCK
    holder = lock_holder(folder)
    if holder is None:
        file.unlink(missing_ok=True)  # left by a process that has ended
        try:
            with file.open("x", encoding="utf-8") as stream:
                json.dump({"host": socket.gethostname(), "pid": os.getpid()}, stream)
        except FileExistsError:
            holder = lock_holder(folder) or {}  # another process was faster
    if holder is not None:
        raise Interrupted(
            f"stage {name} is running on {holder.get('host', 'another machine')} "
            f"(process {holder.get('pid', 'unknown')}); repeat this command when that process has ended"
        )
    released = threading.Event()
    heartbeat = threading.Thread(target=_touch_until, args=(file, released), name="stage lock", daemon=True)
    heartbeat.start()
    try:
        yield
    finally:
        released.set()
        heartbeat.join()
        file.unlink(missing_ok=True)


def lock_holder(folder: Path) -> dict[str, Any] | None:
    """Return host and process of the process that runs a stage; None if there is none."""
    try:
        holder: dict[str, Any] = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        # A running stage touches its lock every minute, so file ages tell if a process on another machine is alive.
        newest = max(path.stat().st_mtime for path in folder.iterdir())
    except (OSError, ValueError):
        return None
    if holder.get("host") != socket.gethostname():
        return holder if time.time() - newest < STALE_AFTER_S else None
    try:
        os.kill(holder["pid"], 0)
    except (ProcessLookupError, KeyError, TypeError):
        return None
    except PermissionError:
        pass
    return holder


def _touch_until(file: Path, released: threading.Event) -> None:
    """Touch a lock at intervals: a long step or evaluation may write no file for a while."""
    while not released.wait(HEARTBEAT_S):
        with contextlib.suppress(FileNotFoundError):  # removed by hand; the stage continues
            os.utime(file)
