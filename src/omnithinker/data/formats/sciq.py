"""Rows of SciQ: a question, the correct answer and three distractors."""

from __future__ import annotations

from omnithinker.data.formats.base import WITH_OPTIONS, RowFormat, text_of
from omnithinker.data.rows import Row

DISTRACTORS = ("distractor1", "distractor2", "distractor3")
"""Fields of the wrong options."""


def read(row: Row) -> Row:
    """Return the row with ``answer``, and ``options``."""
    answer = text_of(row, "correct_answer")
    options = [answer, *(text_of(row, name) for name in DISTRACTORS)]
    return {**row, "question": text_of(row, "question"), "answer": answer, "options": options}


FORMAT = RowFormat(read, prompt=WITH_OPTIONS)
