"""What judges did in a run and what it cost, kept in a file so that it counts across interruptions."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omnithinker.errors import DiskError
from omnithinker.io.files import read_json_lines, write_text, writing
from omnithinker.io.step_metrics import JudgeMetrics


@dataclass
class Usage:
    """What a model was asked and what it cost."""

    calls: int = 0
    """Requests answered by the endpoint."""
    cached: int = 0
    """Requests answered from the cache."""
    retries: int = 0
    """Tries after the first."""
    prompt_tokens: int = 0
    """Request tokens of ``calls``."""
    completion_tokens: int = 0
    """Reply tokens of ``calls``."""
    cost: float = 0.0
    """Money, by the prices in the settings."""
    seconds: float = 0.0
    """Time during which at least one request was waiting for its reply."""
    failures: Counter[str] = field(default_factory=Counter)
    """Requests without a reply, and replies without a verdict, by cause."""

    def add(self, change: dict[str, Any]) -> None:
        """Add numbers by field name, and failures by cause."""
        for name, amount in change.items():
            if name == "failures":
                self.failures.update(amount)
            else:
                setattr(self, name, getattr(self, name) + amount)

    def metrics(self) -> JudgeMetrics:
        """Return the usage as metrics."""
        return JudgeMetrics(**vars(self) | {"failures": dict(sorted(self.failures.items()))})


class Ledger:
    """The accounts of all judges, of one run at a time. May be used from several threads."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._usages: dict[str, Usage] = {}
        self._file: Path | None = None
        self._refused: DiskError | None = None
        self._lock = threading.Lock()

    def account(self, judge: str, model: str) -> Account:
        """The account of a judge, under its name in the recipe."""
        return self._accounts.setdefault(judge, Account(self, judge, model))

    @contextmanager
    def of_run(self, file: Path) -> Iterator[None]:
        """Count for one run, from what it used before it was interrupted; every change goes to ``file`` at once.

        Raises:
            DiskError: the disk takes no more.
        """
        usages: dict[str, Usage] = {}
        for line in read_json_lines(file):
            usages.setdefault(line.pop("judge"), Usage()).add(line)
        # One line per judge: the file stays small, and a line that a crash has cut is gone.
        write_text(file, "".join(_line(judge, _changes(usage)) for judge, usage in usages.items()))
        with self._lock:
            self._usages, self._file, self._refused = usages, file, None
        try:
            yield
        finally:
            with self._lock:
                self._usages, self._file, self._refused = {}, None, None

    def usage(self, judge: str) -> Usage:
        """What a judge has done so far in this run."""
        return self._usages.get(judge) or Usage()

    def add(self, judge: str, change: dict[str, Any]) -> None:
        """Add to an account.

        Raises:
            DiskError: the disk takes no more; the run's file has none of this change.
        """
        with self._lock:
            self._usages.setdefault(judge, Usage()).add(change)
            if self._file is not None:
                try:
                    _append(self._file, _line(judge, change))
                except DiskError as error:
                    self._refused = error
                    raise

    def check(self) -> None:
        """Make sure, before more is paid for, that this run's file has taken what was paid for so far.

        Raises:
            DiskError: it has not.
        """
        if self._refused is not None:
            raise self._refused

    def metrics(self) -> dict[str, JudgeMetrics]:
        """Return the usage so far, by judge."""
        return {judge: self.usage(judge).metrics() for judge in self._accounts}

    def record(self) -> dict[str, dict[str, Any]]:
        """Everything so far, by judge, with the model's name."""
        return {
            judge: {"model": account.model} | vars(account.usage) | {"failures": dict(account.usage.failures)}
            for judge, account in self._accounts.items()
        }


@dataclass(frozen=True, slots=True)
class Account:
    """One judge's part of a ledger."""

    ledger: Ledger
    """Where it is kept."""
    judge: str
    """Name in the recipe."""
    model: str
    """Name sent to the endpoint."""

    @property
    def usage(self) -> Usage:
        """What it has done so far in this run."""
        return self.ledger.usage(self.judge)

    def add(self, **change: Any) -> None:
        """Add numbers by field name of :class:`Usage`, and ``failures`` by cause."""
        self.ledger.add(self.judge, change)


def _append(file: Path, line: str) -> None:
    """Append a line or, if the disk does not take all of it, nothing: what follows half a line would be lost."""
    with writing(file):
        before = file.stat().st_size
        try:
            with file.open("a", encoding="utf-8") as stream:
                stream.write(line)
        except OSError:
            os.truncate(file, before)
            raise


def _changes(usage: Usage) -> dict[str, Any]:
    return {each.name: value for each in fields(usage) if (value := getattr(usage, each.name))}


def _line(judge: str, change: dict[str, Any]) -> str:
    return json.dumps({"judge": judge, **change}) + "\n"
