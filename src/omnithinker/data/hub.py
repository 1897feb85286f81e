"""Rows of data sets on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from omnithinker.config.registry import nearest
from omnithinker.data.plain import plain_row
from omnithinker.data.rows import Row
from omnithinker.errors import BadInput, DataError, reason_of
from omnithinker.io.hub import go_offline, unreachable

PREFIX = "hub:"
"""Beginning of the name of such a source."""
PARTS = ("config", "split", "revision")
"""Parameters after the name, as in ``?config=main&split=train``."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """A split of a data set."""

    name: str
    """``owner/name``."""
    split: str
    """Name of the split, possibly with a slice: ``train[:100]``."""
    config: str | None = None
    """Name of the configuration, also called subset; None for the only or default one."""
    revision: str | None = None
    """Branch, tag or commit; None for the newest."""


def parse_source(source: str, split: str) -> HubSource:
    """Parse ``hub:owner/name?config=main&split=train&revision=abc``.

    Args:
        source: The text.
        split: Name of the split if the text has none.

    Raises:
        DataError: if it has another form.
    """
    name, _, query = source.removeprefix(PREFIX).partition("?")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise DataError(f"{source}: not the name of a data set; write hub:OWNER/NAME?config=C&split=S&revision=R")
    parts = dict(parse_qsl(query, keep_blank_values=True))
    for key in parts:
        if key not in PARTS:
            raise DataError(f"{source}: no part {key!r}{nearest(key, PARTS)}")
    return HubSource(name, parts.get("split") or split, parts.get("config"), parts.get("revision"))


def require_sources(sources: Iterable[str]) -> None:
    """Check that data sets are in the cache or the hub can be reached, before anything slow is imported.

    Args:
        sources: Names of sources of rows; others than those on the hub are ignored.

    Raises:
        DataError: if a data set is neither cached nor reachable, or its name has another form.
    """
    wanted = [(source, parse_source(source, "train")) for source in sources if source.startswith(PREFIX)]
    if not wanted:
        return
    reason = unreachable()
    if reason is None:
        return
    for source, parsed in wanted:
        _require_cached(source, parsed.name, reason)
    go_offline()


def read_hub(source: str, split: str) -> list[tuple[str, Row]]:
    """Read a split of a data set, from the local cache if the hub cannot be reached.

    Args:
        source: Text for :func:`parse_source`.
        split: Name of the split if ``source`` has none.

    Returns:
        (place, row) of every row.

    Raises:
        DataError: if there is no such data set or split, or it is neither cached nor reachable.
        BadInput: if the package ``datasets`` is missing.
    """
    wanted = parse_source(source, split)
    reason = unreachable()
    if reason is not None:
        _require_cached(source, wanted.name, reason)
        go_offline()
    try:
        import datasets
    except ImportError as error:
        raise BadInput(f"{source}: needs the package 'datasets': pip install 'omnithinker[datasets]'") from error
    if reason is not None:
        datasets.config.HF_HUB_OFFLINE = True
    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(wanted.name, wanted.config, split=wanted.split, revision=wanted.revision)
    except Exception as error:  # the package, the hub client and builders raise errors of many kinds
        message = reason_of(error)
        raise DataError(f"{source}: {message}") from error
    rows = list(_placed(found, f"{source.partition('?')[0]} {wanted.split}"))
    if not rows:
        raise DataError(f"{source}: split {wanted.split!r} has no rows")
    return rows


def _placed(rows: Iterable[Row], name: str) -> Iterator[tuple[str, Row]]:
    for number, row in enumerate(rows, start=1):
        place = f"{name} row {number}"
        yield place, plain_row(row, place)


def _require_cached(source: str, name: str, reason: str) -> None:
    """Check that the cache of the package ``datasets`` has a data set, without importing the package, which is slow.

    Raises:
        DataError: if it has not.
    """
    from huggingface_hub import constants

    cache = os.environ.get("HF_DATASETS_CACHE", str(Path(constants.HF_HOME) / "datasets"))
    if not Path(cache).expanduser().joinpath(name.replace("/", "___")).is_dir():
        raise DataError(
            f"{source}: not in the cache, and {reason}; run the command once with a connection, or name files of the "
            "data set with 'train' and 'test'"
        )
