"""Rows of MMLU and MMLU-Pro: a list of options, and the letter or the position of the right one."""

from __future__ import annotations

from string import ascii_uppercase

from omnithinker.data.formats.base import WITH_OPTIONS, RowFormat, labelled, text_of, texts_of
from omnithinker.data.rows import Row


def read(row: Row) -> Row:
    """Return the row with ``options`` (``choices`` of MMLU), and ``answer``, the text of the right option."""
    options = texts_of(row, "options" if row.get("options") is not None else "choices")
    position = row.get("answer")
    letter = ascii_uppercase[position] if isinstance(position, int) and 0 <= position < 26 else text_of(row, "answer")
    answer = labelled(options, ascii_uppercase[: len(options)], letter, "answer")
    return {**row, "question": text_of(row, "question"), "options": options, "answer": answer}


FORMAT = RowFormat(read, prompt=WITH_OPTIONS)
