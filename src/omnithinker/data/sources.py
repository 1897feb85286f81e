"""Sources of rows: generators and files, told apart by the prefix of their name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from omnithinker import lab
from omnithinker.data import reasoning_gym
from omnithinker.data.rows import Row, read_rows
from omnithinker.errors import DataError

GENERATED_ITEMS = 256
"""Default number of training rows of a generator."""
GENERATORS = ("lab:", "reasoning_gym:")
"""Prefixes of generated data."""


def is_generated(source: str) -> bool:
    """Return True if a source generates as many rows as are asked for."""
    return source.startswith(GENERATORS)


def read_source(
    source: str,
    split: Literal["train", "test"],
    limit: int | None,
    *,
    seed: int,
    settings: Mapping[str, Any],
    place: str,
) -> list[tuple[str, Row]]:
    """Read or generate the rows of a split.

    Args:
        source: ``lab:math`` and the like, ``reasoning_gym:chain_sum`` and the like, or the path of a file.
        split: Split to generate; a file has one split.
        limit: Maximum number of rows; None for all rows of a file.
        seed: Seed of generated rows.
        settings: ``data_settings`` of the task.
        place: Name of the setting, for messages.

    Returns:
        (place, row) of every row; the place is a file and line, or a number within generated data.

    Raises:
        DataError: if a file is missing or malformed, or there is no such source.
    """
    prefix, _, name = source.partition(":")
    if not is_generated(source):
        if ":" in source and not source.endswith((".jsonl", ".json")):
            raise DataError(
                f"{place}: no built-in data {source!r}; use lab:math, lab:code, lab:qa, lab:writing or "
                "reasoning_gym:NAME, or name JSON Lines files with 'train' and 'test'"
            )
        return read_rows(source)[:limit]
    count = GENERATED_ITEMS if limit is None else limit
    if prefix == "lab":
        rows = lab.generate_rows(name, split, count, seed=seed)
    else:
        reasoning_gym.check_settings(name, settings)
        rows = reasoning_gym.generate_rows(name, split, count, seed=seed, settings=settings)
    return [(f"{source} {split} row {number}", row) for number, row in enumerate(rows, start=1)]
