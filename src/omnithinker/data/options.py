"""Options of a question as a prompt shows them: one a line, without labels, in an order that tells nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from omnithinker.data.rows import Row


def shuffled(options: Sequence[str], key: str) -> list[str]:
    """The options in another order.

    Args:
        options: in any order.
        key: fixes the order, in every process; questions with keys of their own have orders of their own.
    """
    mixed = list(options)
    random.Random(key).shuffle(mixed)  # a string seeds the same way in every process
    return mixed


def options_text(options: Sequence[str]) -> str:
    """One option a line. Never a letter or number before it: answers are given in full text."""
    return "\n".join(f"- {option}" for option in options)


def with_options_text(row: Row, seed: int) -> Row:
    """The row with a field ``options_text`` made of its ``options``, shuffled; unless it has one, or no options."""
    options = row.get("options")
    if "options_text" in row or not isinstance(options, list) or not all(isinstance(each, str) for each in options):
        return row
    rest = {name: value for name, value in row.items() if name != "options"}
    key = f"{seed}\0{json.dumps(rest, sort_keys=True)}\0{json.dumps(sorted(options))}"
    return {**row, "options_text": options_text(shuffled(sorted(options), key))}
