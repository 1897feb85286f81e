"""Worker process that generates rows with the package reasoning-gym; see :mod:`omnithinker.data.reasoning_gym`.

Reads one JSON request from standard input, and writes ``{"rows": ...}`` or ``{"error": ..., "extra": bool}``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from omnithinker.config.registry import nearest
from omnithinker.errors import BadInput, DataError, reason_of
from omnithinker.lab.items import split_of

CHUNK = 500
"""Rows of one data set that the package creates. Some kinds prepare all rows at once, and refuse large sizes."""
MOST_REPEATS = 1000
"""Consecutive questions that are known or of the other split, after which a kind counts as exhausted."""


def generate(name: str, split: str, count: int, seed: int, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Generate rows; see :func:`omnithinker.data.reasoning_gym.generate_rows`."""
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    repeats = 0
    for item in _items(name, f"{split} {seed}", settings):
        question = item["question"]
        if question in seen or split_of(question) != split:
            repeats += 1
            if repeats > MOST_REPEATS:
                raise DataError(
                    f"reasoning_gym:{name}: the {split} split has only {len(rows)} distinct questions, {count} are "
                    "needed; lower train_items or evaluation.items, or widen data_settings"
                )
            continue
        repeats = 0
        seen.add(question)
        metadata = json.loads(json.dumps(item["metadata"], default=str))
        rows.append({"prompt": question, "question": question, "answer": item["answer"], "metadata": metadata})
        if len(rows) == count:
            break
    return rows


def _items(name: str, seed: str, settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield items of one data set after another, each with a seed of its own."""
    number = 0
    while True:
        digest = hashlib.sha256(json.dumps([name, seed, number]).encode()).digest()
        dataset = _create(name, {**settings, "size": CHUNK, "seed": int.from_bytes(digest[:4], "big") >> 1})
        for index in range(CHUNK):
            yield dataset[index]
        number += 1


def _create(name: str, settings: Mapping[str, Any]) -> Any:
    try:
        from reasoning_gym.factory import DATASETS, create_dataset
    except ImportError as error:
        raise BadInput(
            f"data 'reasoning_gym:{name}' needs the package 'reasoning-gym': pip install 'omnithinker[reasoning-gym]'"
        ) from error
    if name not in DATASETS:
        raise DataError(f"reasoning_gym:{name}: no such kind of question{nearest(name, DATASETS)}")
    known = [field for field in DATASETS[name][1].__dataclass_fields__ if field not in ("seed", "size")]
    for key in settings:
        if key not in (*known, "seed", "size"):
            raise DataError(f"reasoning_gym:{name}: no data_settings.{key}{nearest(key, known)}")
    try:
        return create_dataset(name, **settings)
    except (AssertionError, ValueError, TypeError, KeyError) as error:
        reason = reason_of(error)
        raise DataError(f"reasoning_gym:{name}: data_settings: {reason}") from error


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    reply: dict[str, Any]
    with contextlib.redirect_stdout(sys.stderr):  # some kinds print
        try:
            reply = {"rows": generate(**request)}
        except BadInput as error:
            reply = {"error": str(error), "extra": not isinstance(error, DataError)}
    json.dump(reply, sys.stdout)


if __name__ == "__main__":
    main()
