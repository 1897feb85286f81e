"""Cache of a judge's replies on disk, which answers the requests of a repeated run without calls."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omnithinker.errors import BadInput
from omnithinker.io.closing import Closing
from omnithinker.io.files import writing
from omnithinker.judge.replies import Reply, reply_from

VERSION = 1
"""Version of the file's format."""
LOCKED_S = 10.0
"""Time to wait for another process that writes to the file, seconds."""


def request_key(model: str, base_url: str, body: Mapping[str, Any], trial: int) -> str:
    """Return the cache key of a request: a hash of all that determines its reply's distribution, and of the trial."""
    parts = json.dumps([model, base_url, body, trial], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(parts.encode()).hexdigest()


class ReplyCache(Closing):
    """SQLite file of replies. Several threads and processes may use it concurrently.

    Raises:
        BadInput: if the file cannot be opened or written, is locked, or is not a reply cache.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        with self._usable():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=LOCKED_S, check_same_thread=False, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def get(self, key: str) -> Reply | None:
        """Return the reply to a request; None if there is none.

        Raises:
            BadInput: if the file is damaged or locked.
        """
        with self._lock, self._usable():
            return self._read(key)

    def put(self, key: str, reply: Reply) -> Reply:
        """Store a reply, unless the key has one already.

        Returns:
            The reply that the key has now: that of another process if it was first, so that all get the same.

        Raises:
            BadInput: if the file is damaged or locked.
            DiskError: if the disk is full; earlier replies are intact.
        """
        text = json.dumps(asdict(reply), ensure_ascii=False)
        with self._lock, self._usable(), writing(self._path):
            self._database.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, text))
            return self._read(key) or reply

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _prepare(self) -> None:
        tables = dict(self._database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        columns = [row[1] for row in self._database.execute("PRAGMA table_info(replies)")]
        if tables and ("replies" not in tables or columns != ["key", "reply"]):
            raise ValueError(f"it is another program's database, with the tables {', '.join(sorted(tables))[:80]}")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise ValueError(f"its format has version {version}, and this program reads version {VERSION}")
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        # A write, so that a file that cannot be written is found before a reply is paid for.
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
        self._database.execute(f"PRAGMA user_version = {VERSION}")
        self._database.execute("COMMIT")

    def _read(self, key: str) -> Reply | None:
        row = self._database.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else reply_from(json.loads(row[0]))

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Turn failures of the file into one line; the run stops rather than pay for replies that it would lose."""
        try:
            yield
        except (OSError, ValueError, TypeError, RecursionError, sqlite3.Error) as error:
            locked = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            advice = "end the process that locks it" if locked else "use another file, or delete this one"
            raise BadInput(f"judge cache {self._path}: cannot be used: {error}; {advice}") from error
