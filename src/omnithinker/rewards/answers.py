"""Taking the answer out of a completion that follows the ``<think>``/``<answer>`` format."""

from __future__ import annotations

import re

# A body holds no further <answer> marker, so the search is linear and nested openings give the innermost body.
_ANSWER = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.DOTALL)
_THINK_MARKER = re.compile(r"</?think>")


def answer_body(text: str) -> str | None:
    """Body of the last complete ``<answer>...</answer>`` as it stands there; None if there is none."""
    bodies: list[str] = _ANSWER.findall(text)
    return bodies[-1] if bodies else None


def last_answer(text: str) -> str | None:
    """Body of the last complete ``<answer>...</answer>``, without surrounding space; None if there is none."""
    body = answer_body(text)
    return None if body is None else body.strip()


def strip_think(text: str) -> str:
    """The text without its reasoning.

    Every ``<think>...</think>`` goes. What precedes a ``</think>`` without an opening goes too (some chat templates
    write the opening themselves), and so does what follows an opening without an end.
    """
    kept: list[str] = []
    position, thinking = 0, False
    for marker in _THINK_MARKER.finditer(text):
        if not thinking:
            kept.append(text[position : marker.start()])
        if marker[0] == "<think>":
            thinking = True
        else:
            if not thinking:
                kept.clear()
            thinking = False
        position = marker.end()
    if not thinking:
        kept.append(text[position:])
    return "".join(kept).strip()


def candidate_text(text: str) -> str:
    """What a completion says to its reader: the last ``<answer>`` body, or else the text without reasoning."""
    body = last_answer(text)
    return strip_think(text) if body is None else body
