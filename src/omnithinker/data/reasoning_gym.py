"""Rows that the package reasoning-gym generates: verifiable questions of about 100 kinds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from omnithinker.config.registry import nearest
from omnithinker.data.rows import Row
from omnithinker.errors import BadInput, DataError
from omnithinker.lab.items import split_of

CHUNK = 500
"""Rows of one data set that the package creates. Some kinds prepare all rows at once, and refuse large sizes."""
MOST_REPEATS = 1000
"""Consecutive questions that are known or of the other split, after which a kind counts as exhausted."""
RESERVED = ("seed", "size")
"""Settings of the package that the recipe determines."""


def generate_rows(
    name: str, split: Literal["train", "test"], count: int, *, seed: int, settings: Mapping[str, Any]
) -> list[Row]:
    """Generate rows with distinct questions; ``count + 1`` rows begin with the rows of ``count``.

    A hash of the question decides its split, so that no question is in both, whatever seeds and counts are.

    Args:
        name: Kind of question, such as ``chain_sum``.
        split: Split that the rows belong to.
        count: Number of rows.
        seed: Random seed.
        settings: Keyword arguments of ``reasoning_gym.create_dataset``.

    Returns:
        Rows with ``prompt`` and ``question`` (the same text), ``answer`` and ``metadata``.

    Raises:
        DataError: if the kind or a setting is unknown, or there are fewer distinct questions.
        BadInput: if the package is missing.
    """
    rows: list[Row] = []
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
    known = [field for field in DATASETS[name][1].__dataclass_fields__ if field not in RESERVED]
    for key in settings:
        if key not in (*known, *RESERVED):
            raise DataError(f"reasoning_gym:{name}: no data_settings.{key}{nearest(key, known)}")
    try:
        return create_dataset(name, **settings)
    except (AssertionError, ValueError, TypeError, KeyError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"reasoning_gym:{name}: data_settings: {reason}") from error


def check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """Check that no setting is one that the recipe determines.

    Raises:
        DataError: if one is.
    """
    for key in RESERVED:
        if key in settings:
            use = "'seed' of the recipe" if key == "seed" else "'train_items' and 'evaluation.items'"
            raise DataError(f"reasoning_gym:{name}: data_settings.{key} is set by {use}; remove it")
