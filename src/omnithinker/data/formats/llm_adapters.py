"""Rows of LLM-Adapters' commonsense sets: options ``Answer1: ...`` within the text, and the gold answer ``answer2``."""

from __future__ import annotations

import re

from omnithinker.data.formats.base import WITH_OPTIONS, RowFormat, labelled, text_of
from omnithinker.data.rows import Row
from omnithinker.errors import DataError

_START = "Please choose the correct answer to the question: "
_OPTION = re.compile(r"(?:^|\s)(?:Answer|Solution|Ending)(\d): (.*?)(?=\s(?:Answer|Solution|Ending)\d: |\Z)", re.DOTALL)


def read(row: Row) -> Row:
    """Return the row with ``question``, ``options`` and ``answer``, the text of the right option."""
    text = text_of(row, "instruction").rpartition("\n\nAnswer format:")[0]
    question, _, listed = text.rpartition("\n\n")
    found = _OPTION.findall(listed)
    if not question or len(found) < 2:
        raise DataError("field 'instruction' has no options like 'Answer1: ... Answer2: ...'")
    options = [option.strip() for _, option in found]
    digit = re.sub(r"\D", "", text_of(row, "answer"))
    answer = labelled(options, [label for label, _ in found], digit, "answer")
    return {**row, "question": question.removeprefix(_START).strip(), "options": options, "answer": answer}


FORMAT = RowFormat(read, prompt=WITH_OPTIONS)
