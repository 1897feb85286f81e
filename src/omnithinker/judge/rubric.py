"""Offline judge: compares two texts by their points in the row's rubric. Deterministic.

A rubric is an object with any of these fields:

=============  ==============================  ======================================================
field          value                           points
=============  ==============================  ======================================================
``words``      list of words                   2 for each that occurs
``topic``      list of words                   2 if every sentence has one of them
``sentences``  whole number                    2 if the text has so many sentences
``begin``      word                            2 if the text begins with it
``end``        word                            2 if the text ends with it
``variety``    whole number                    1 if the text has at least so many different words
=============  ==============================  ======================================================

Every text gets 2 points if no sentence occurs twice, and 1 if it ends with a period, exclamation or question mark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omnithinker.errors import JudgeError
from omnithinker.judge.base import Verdict

FIELDS = ("words", "topic", "sentences", "begin", "end", "variety")
"""Fields of a rubric."""


class RubricJudge:
    """Prefers the text with more rubric points; a tie if they are equal."""

    async def compare(
        self, *, request: str, answer_a: str, answer_b: str, row: Mapping[str, Any], trial: int = 0
    ) -> Verdict:
        """Compare two texts by ``row["rubric"]``; the request and the trial are ignored.

        Raises:
            JudgeError: if the row has no valid rubric.
        """
        rubric = row.get("rubric")
        if not isinstance(rubric, Mapping) or not rubric or set(rubric) - set(FIELDS):
            raise JudgeError(
                f"the rubric judge requires a row field 'rubric' with some of {', '.join(FIELDS)}; got {rubric!r:.80}"
            )
        difference = rubric_points(answer_a, rubric) - rubric_points(answer_b, rubric)
        return Verdict.TIE if difference == 0 else Verdict.A if difference > 0 else Verdict.B


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return re.findall(r"[^\W_]+", text.casefold())


def sentences_of(text: str) -> list[list[str]]:
    """Return the words of each sentence that has any."""
    return [words for part in re.split(r"[.!?]+", text) if (words := words_of(part))]


def rubric_points(text: str, rubric: Mapping[str, Any]) -> int:
    """Return the points of a text; 0 if it has no words."""
    words, sentences = words_of(text), sentences_of(text)
    if not words:
        return 0
    topic = set(rubric.get("topic", ()))
    points = [
        2 * sum(word in words for word in rubric.get("words", ())),
        2 * (bool(topic) and all(topic.intersection(sentence) for sentence in sentences)),
        2 * (len(sentences) == rubric.get("sentences")),
        2 * (words[0] == rubric.get("begin")),
        2 * (words[-1] == rubric.get("end")),
        2 * (len(set(map(tuple, sentences))) == len(sentences)),
        int("variety" in rubric and len(set(words)) >= rubric["variety"]),
        int(text.rstrip().endswith((".", "!", "?"))),
    ]
    return sum(points)
