"""Extraction of the answer from a completion in the ``<think>``/``<answer>`` format."""

from __future__ import annotations

import re

# A body contains no <answer> marker: the search is linear, and nested openings match the innermost body.
_ANSWER = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.DOTALL)
_THINK_MARKER = re.compile(r"</?think>")


def answer_body(text: str) -> str | None:
    """Return the unchanged body of the last complete ``<answer>...</answer>``; None if there is none."""
    bodies: list[str] = _ANSWER.findall(text)
    return bodies[-1] if bodies else None


def last_answer(text: str) -> str | None:
    """Return the body of the last complete ``<answer>...</answer>``, stripped; None if there is none."""
    body = answer_body(text)
    return None if body is None else body.strip()


def strip_think(text: str) -> str:
    """Remove the reasoning from a text.

    Removed are every ``<think>...</think>``, everything before a ``</think>`` without an opening marker (some chat
    templates write the opening themselves), and everything after a ``<think>`` without a closing marker.
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
    joined = "".join(kept)
    # Removal may join the fragments around a span to a new marker, as in ``</think<think></think>>``.
    return (" ".join(kept) if _THINK_MARKER.search(joined) else joined).strip()


def candidate_text(text: str) -> str:
    """Return the last ``<answer>`` body of a completion, or its text without reasoning if it has none."""
    body = last_answer(text)
    return strip_think(text) if body is None else body
