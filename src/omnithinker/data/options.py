"""Options of a question as shown in a prompt: one per line, without labels, in random order."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from omnithinker.data.rows import Row


def shuffled(options: Sequence[str], key: str) -> list[str]:
    """Return the options in random order.

    Args:
        options: Options in any order.
        key: Seed of the order, such as the question.
    """
    result = list(options)
    random.Random(key).shuffle(result)  # a string gives the same seed in every process
    return result


def options_text(options: Sequence[str]) -> str:
    """Return the options one per line, without letters or numbers, because answers are given in full text."""
    return "\n".join(f"- {option}" for option in options)


def with_options_text(row: Row, seed: int) -> Row:
    """Add a field ``options_text`` with the shuffled ``options`` to a row that has options and no such field."""
    options = row.get("options")
    if "options_text" in row or not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        return row
    rest = {name: value for name, value in row.items() if name != "options"}
    key = f"{seed}\0{json.dumps(rest, sort_keys=True)}\0{json.dumps(sorted(options))}"
    return {**row, "options_text": options_text(shuffled(sorted(options), key))}
