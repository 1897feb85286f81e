"""Rows of GSM8K: the answer is a worked solution that ends with ``#### 72``."""

from __future__ import annotations

import re

from omnithinker.data.formats.base import RowFormat, text_of
from omnithinker.data.rows import Row
from omnithinker.errors import DataError

_CALCULATION = re.compile(r"<<[^<>]*>>")


def read(row: Row) -> Row:
    """Return the row with the final number, without thousands separators, in ``answer``.

    ``solution`` is the working without calculator marks such as ``<<16-3=13>>``.
    """
    question, worked = text_of(row, "question"), text_of(row, "answer")
    working, mark, answer = worked.rpartition("####")
    if not mark or not answer.strip():
        raise DataError("field 'answer' does not end with '#### ' and a number")
    solution = _CALCULATION.sub("", working).strip()
    return {**row, "prompt": question, "answer": answer.strip().replace(",", ""), "solution": solution}


FORMAT = RowFormat(read)
