"""Rows that the package reasoning-gym generates: verifiable questions of about 100 kinds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Literal

from omnithinker.data.rows import Row
from omnithinker.errors import BadInput, DataError

RESERVED = ("seed", "size")
"""Settings of the package that the recipe determines."""


def generate_rows(
    name: str, split: Literal["train", "test"], count: int, *, seed: int, settings: Mapping[str, Any]
) -> list[Row]:
    """Generate rows with distinct questions; ``count + 1`` rows begin with the rows of ``count``.

    They are generated in a process of their own with a fixed PYTHONHASHSEED: some kinds iterate over sets, and would
    differ from one process to the next. A hash of the question decides its split, so that no question is in both,
    whatever seeds and counts are.

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
    check_settings(name, settings)
    request = {"name": name, "split": split, "count": count, "seed": seed, "settings": settings}
    process = subprocess.run(
        [sys.executable, "-P", "-m", "omnithinker.data.reasoning_gym_worker"],
        input=json.dumps(request, default=str),
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": "0"},
        check=False,
    )
    if process.returncode != 0:
        lines = process.stderr.strip().splitlines()
        raise DataError(f"reasoning_gym:{name}: cannot be generated: {lines[-1] if lines else process.returncode}")
    reply = json.loads(process.stdout)
    if "error" in reply:
        raise (BadInput if reply["extra"] else DataError)(reply["error"])
    rows: list[Row] = reply["rows"]
    return rows


def check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """Check that no setting is one that the recipe determines.

    Raises:
        DataError: if one is.
    """
    for key in RESERVED:
        if key in settings:
            use = "'seed' of the recipe" if key == "seed" else "'train_items' and 'evaluation.items'"
            raise DataError(f"reasoning_gym:{name}: data_settings.{key} is set by {use}; remove it")
