"""Text from outside for a terminal: characters that are not printable become escapes, and are never sent."""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    """Return a text with white space as it is and every other character that is not printable as an escape."""
    return escaped("".join(" " if unicodedata.category(one) == "Zs" else one for one in text.expandtabs(4)))


def escaped(text: str) -> str:
    """Return a text with line breaks as they are and every other character that is not printable as an escape."""
    return "".join(one if one == "\n" or one.isprintable() else _escape(one) for one in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def single_line(text: str) -> str:
    """Return a text as one visible line; a line break is shown as an escape."""
    return visible(text).replace("\n", r"\n")
