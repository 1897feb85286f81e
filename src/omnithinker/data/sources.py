"""Sources of rows, told apart by the prefix of their name, and the shape that a task gives its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from omnithinker import lab
from omnithinker.config.registry import FORMATS
from omnithinker.config.tasks import TaskSettings
from omnithinker.data import hub, reasoning_gym
from omnithinker.data.files import SUFFIXES, read_rows
from omnithinker.data.formats.base import RowFormat
from omnithinker.data.paths import look_up
from omnithinker.data.rows import Row
from omnithinker.errors import DataError

GENERATED_ITEMS = 256
"""Default number of training rows of a generator."""
GENERATORS = ("lab:", "reasoning_gym:")
"""Prefixes of generated data."""


def is_generated(source: str) -> bool:
    """Return True if a source generates as many rows as are asked for."""
    return source.startswith(GENERATORS)


def require_data(tasks: Iterable[TaskSettings]) -> None:
    """Check that the data sets of tasks can be had; see :func:`omnithinker.data.hub.require_sources`."""
    sources = [source for task in tasks for source in (task.data, task.train, task.test) if source is not None]
    hub.require_sources(dict.fromkeys(sources))


def read_source(
    source: str,
    split: Literal["train", "test"],
    limit: int | None,
    *,
    seed: int,
    settings: Mapping[str, Any],
    place: str,
) -> list[tuple[str, Row]]:
    """Read or generate the rows of a split as they are.

    Args:
        source: ``lab:math``, ``reasoning_gym:chain_sum``, ``hub:openai/gsm8k`` and the like, or the path of a file.
        split: Split to generate, or to read from the hub; a file has one split.
        limit: Maximum number of rows; None for all rows of a file.
        seed: Seed of generated rows.
        settings: ``data_settings`` of the task.
        place: Name of the setting, for messages.

    Returns:
        (place, row) of every row; the place is a file and line, or a number within other data.

    Raises:
        DataError: if a file is missing or malformed, or there is no such source.
        BadInput: if the package of an extra is missing.
    """
    prefix, _, name = source.partition(":")
    if is_generated(source):
        count = GENERATED_ITEMS if limit is None else limit
        if prefix == "lab":
            rows = lab.generate_rows(name, split, count, seed=seed)
        else:
            rows = reasoning_gym.generate_rows(name, split, count, seed=seed, settings=settings)
        return [(f"{source} {split} row {number}", row) for number, row in enumerate(rows, start=1)]
    if source.startswith(hub.PREFIX):
        return hub.read_hub(source, split)[:limit]
    if ":" in source and not source.removesuffix(".gz").endswith(SUFFIXES):
        raise DataError(
            f"{place}: no built-in data {source!r}; use lab:math, lab:code, lab:qa, lab:writing, reasoning_gym:NAME or "
            "hub:OWNER/NAME, or name files with 'train' and 'test'"
        )
    return read_rows(source)[:limit]


def shaped(row: Row, task: TaskSettings, place: str) -> Row:
    """Return a row with the fields that a task's ``format`` and ``columns`` give it.

    Args:
        row: Row as it is.
        task: Settings of the task.
        place: Place of the row, for messages.

    Raises:
        DataError: if the row has another shape.
    """
    if task.format is not None:
        row_format: RowFormat = FORMATS.load(task.format)
        try:
            row = row_format.read(row)
        except DataError as error:
            raise DataError(f"{place}: {error} (format {task.format!r})") from error
    found = {}
    for name, path in task.columns.items():
        try:
            found[name] = look_up(row, path)
        except DataError as error:
            raise DataError(f"{place}: {error}, which 'columns.{name}' names") from error
    return row | found
