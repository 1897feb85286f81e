"""Rows of ARC, OpenBookQA and CommonsenseQA: ``choices`` with texts and labels, and the label of the right one."""

from __future__ import annotations

from typing import Any

from omnithinker.data.formats.base import WITH_OPTIONS, RowFormat, labelled, text_of, texts_of
from omnithinker.data.rows import Row
from omnithinker.errors import DataError
from omnithinker.io.parsing import json_type


def read(row: Row) -> Row:
    """Return the row with ``question``, ``options`` and ``answer``, the text of the right option.

    Besides ``choices`` and ``answerKey``, a copy with one column per label, ``label`` and ``answer`` is read.
    """
    question = text_of(row, "question", "question_stem")
    if row.get("choices") is None and row.get("label") is not None:
        labels, key = texts_of(row, "label"), "answer"
        options = [text_of(row, label) for label in labels]
    else:
        labels, options = _choices(row.get("choices"))
        key = "answerKey"
    return {
        **row,
        "question": question,
        "options": options,
        "answer": labelled(options, labels, text_of(row, key), key),
    }


def _choices(choices: Any) -> tuple[list[str], list[str]]:
    """Return labels and texts of an object of two lists, or of a list of objects."""
    if isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices):
        choices = {name: [choice.get(name) for choice in choices] for name in ("label", "text")}
    if not isinstance(choices, dict):
        raise DataError(f"field 'choices' must be an object with lists 'text' and 'label', got {json_type(choices)}")
    return texts_of(choices, "label"), texts_of(choices, "text")


FORMAT = RowFormat(read, prompt=WITH_OPTIONS)
