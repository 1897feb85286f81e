"""Usage and cost of the judges in a run, kept in a file so that they survive interruptions."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omnithinker.errors import DataError, DiskError
from omnithinker.io.files import read_json_lines, write_text, writing
from omnithinker.io.step_metrics import JudgeMetrics


class Ledger:
    """Accounts of all judges, for one run at a time. Thread-safe."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._usages: dict[str, JudgeMetrics] = {}
        self._file: Path | None = None
        self._write_error: DiskError | None = None
        self._lock = threading.Lock()

    def account(self, judge: str, model: str) -> Account:
        """Return the account of a judge, by its name in the recipe."""
        return self._accounts.setdefault(judge, Account(self, judge, model))

    @contextmanager
    def of_run(self, file: Path) -> Iterator[None]:
        """Count for one run inside the block, continuing from its usage in ``file``; append each change at once.

        Raises:
            DataError: if the file is not one of usage.
            DiskError: if the disk is full.
        """
        usages: dict[str, JudgeMetrics] = {}
        for number, line in enumerate(read_json_lines(file), 1):
            try:
                judge = line.pop("judge")
                usages[judge] = usages.get(judge, JudgeMetrics()).plus(line)
            except (AttributeError, KeyError, TypeError) as error:
                raise DataError(
                    f"{file}:{number}: not a line of a judge's usage; restore the file, or delete it to count from zero"
                ) from error
        # Rewritten with one line per judge, which keeps the file small and drops a line that a crash has truncated.
        write_text(file, "".join(_line(judge, _changes(usage)) for judge, usage in usages.items()))
        with self._lock:
            self._usages, self._file, self._write_error = usages, file, None
        try:
            yield
        finally:
            with self._lock:
                self._usages, self._file, self._write_error = {}, None, None

    def usage(self, judge: str) -> JudgeMetrics:
        """Return the usage of a judge in this run so far."""
        return self._usages.get(judge, JudgeMetrics())

    def add(self, judge: str, change: dict[str, Any]) -> None:
        """Add to the usage of a judge.

        Raises:
            DiskError: if the disk is full; the run's file contains nothing of this change.
        """
        with self._lock:
            self._usages[judge] = self.usage(judge).plus(change)
            if self._file is not None:
                try:
                    _append(self._file, _line(judge, change))
                except DiskError as error:
                    self._write_error = error
                    raise

    def check(self) -> None:
        """Check, before a further call is paid for, that all usage so far has been written to the run's file.

        Raises:
            DiskError: if it has not.
        """
        if self._write_error is not None:
            raise self._write_error

    def metrics(self) -> dict[str, JudgeMetrics]:
        """Return the usage so far, by judge."""
        return {judge: self.usage(judge) for judge in self._accounts}

    def record(self) -> dict[str, dict[str, Any]]:
        """Return model and usage so far by judge."""
        return {judge: {"model": account.model} | asdict(account.usage) for judge, account in self._accounts.items()}


@dataclass(frozen=True, slots=True)
class Account:
    """Account of one judge in a ledger."""

    ledger: Ledger
    """Ledger that keeps the account."""
    judge: str
    """Name in the recipe."""
    model: str
    """Name sent to the endpoint."""

    @property
    def usage(self) -> JudgeMetrics:
        """Usage in this run so far."""
        return self.ledger.usage(self.judge)

    def add(self, **change: Any) -> None:
        """Add numbers by field name of ``JudgeMetrics``, and ``failures`` by cause."""
        self.ledger.add(self.judge, change)


def _append(file: Path, line: str) -> None:
    """Append a whole line or nothing: a truncated line would make the next one unreadable."""
    with writing(file):
        size = file.stat().st_size
        try:
            with file.open("a", encoding="utf-8") as stream:
                stream.write(line)
        except OSError:
            os.truncate(file, size)
            raise


def _changes(usage: JudgeMetrics) -> dict[str, Any]:
    return {name: value for name, value in asdict(usage).items() if value}


def _line(judge: str, change: dict[str, Any]) -> str:
    return json.dumps({"judge": judge, **change}) + "\n"
