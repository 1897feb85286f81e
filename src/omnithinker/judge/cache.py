"""Replies of a judge on disk, so that a repeated run asks nothing twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omnithinker.errors import BadInput
from omnithinker.io.files import writing


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answered."""

    text: str
    """Raw text."""
    prompt_tokens: int
    """Tokens of the request as the endpoint counted them; 0 when it did not say."""
    completion_tokens: int
    """Tokens of the reply."""
    seconds: float
    """How long it took."""


def request_key(model: str, base_url: str, body: Mapping[str, Any], trial: int) -> str:
    """Name of a request: everything that the distribution of its reply depends on, and which draw from it this is."""
    parts = json.dumps([model, base_url, body, trial], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(parts.encode()).hexdigest()


class ReplyCache:
    """A SQLite file of replies. Several threads and processes may use it at once.

    Raises:
        BadInput: the file cannot be opened or is not such a cache.
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
            raise BadInput(f"judge cache {path}: cannot be opened: {error}; name another file or remove it") from error

    def get(self, key: str) -> Reply | None:
        """The reply to a request, or None."""
        with self._lock:
            row = self._database.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else Reply(**json.loads(row[0]))

    def put(self, key: str, reply: Reply) -> None:
        """Remember a reply; the first one given for a key stays.

        Raises:
            DiskError: the disk takes no more; earlier replies are as they were.
        """
        text = json.dumps(asdict(reply), ensure_ascii=False)
        with self._lock, writing(self._path):
            self._database.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, text))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
