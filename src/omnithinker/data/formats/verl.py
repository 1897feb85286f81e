"""Rows of verl: ``prompt`` as messages, and the gold answer in ``reward_model.ground_truth``."""

from __future__ import annotations

import json
from typing import Any

from omnithinker.data.formats.base import RowFormat
from omnithinker.data.rows import Row
from omnithinker.errors import DataError
from omnithinker.io.parsing import json_type

TEST_KEYS = ("inputs", "functional", "fn_name", "assert_case")
"""Keys of a gold answer that consists of tests."""


def read(row: Row) -> Row:
    """Return the row with the gold answer under the name that rewards read; all columns stay.

    Tests become ``tests``. A text, a number or a list of one becomes ``answer``; a longer list becomes ``answers``. A
    row without a gold answer, or with one of another form, gets no field.
    """
    if row.get("prompt") is None:
        raise DataError(f"no field 'prompt' (fields: {', '.join(map(str, row)) or 'none'})")
    model = row.get("reward_model")
    if model is not None and not isinstance(model, dict):
        raise DataError(f"field 'reward_model' must be an object, got {json_type(model)}")
    truth = (model or {}).get("ground_truth")
    return {**row, **_gold(truth)}


def _gold(truth: Any) -> dict[str, Any]:
    if _are_tests(truth):
        return {"tests": truth}
    if isinstance(truth, list) and truth and all(isinstance(entry, str | int | float) for entry in truth):
        return {"answer": truth[0]} if len(truth) == 1 else {"answers": truth}
    return {"answer": truth} if isinstance(truth, str | int | float) else {}


def _are_tests(truth: Any) -> bool:
    if isinstance(truth, str) and truth.lstrip().startswith("{"):
        try:
            truth = json.loads(truth)
        except (ValueError, RecursionError):
            return False
    return isinstance(truth, dict) and any(key in truth for key in TEST_KEYS)


FORMAT = RowFormat(read)
