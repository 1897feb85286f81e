"""Cache of a judge's replies on disk, which answers the requests of a repeated run without calls."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omnithinker.errors import BadInput
from omnithinker.io.closing import Closing
from omnithinker.io.files import writing
from omnithinker.judge.replies import Reply


def request_key(model: str, base_url: str, body: Mapping[str, Any], trial: int) -> str:
    """Return the cache key of a request: a hash of all that determines its reply's distribution, and of the trial."""
    parts = json.dumps([model, base_url, body, trial], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(parts.encode()).hexdigest()


class ReplyCache(Closing):
    """SQLite file of replies. Several threads and processes may use it concurrently.

    Raises:
        BadInput: if the file cannot be opened or is not a reply cache.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
        except (OSError, sqlite3.Error) as error:
            raise BadInput(
                f"judge cache {path}: cannot be opened: {error}; use another file, or delete this one"
            ) from error

    def get(self, key: str) -> Reply | None:
        """Return the reply to a request; None if there is none."""
        with self._lock:
            row = self._database.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else Reply(**json.loads(row[0]))

    def put(self, key: str, reply: Reply) -> None:
        """Store a reply, unless the key has one already.

        Raises:
            DiskError: if the disk is full; earlier replies are intact.
        """
        text = json.dumps(asdict(reply), ensure_ascii=False)
        with self._lock, writing(self._path):
            self._database.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, text))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
