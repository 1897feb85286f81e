"""Disarm prompt injections in the texts that a judge compares.

The rule, in this order:

1. **What cannot be seen is removed**: control and format characters, default-ignorable characters, lone surrogates, and
   combining marks behind anything but a letter, digit or mark. Line ends of all kinds become line feeds. Full-width
   characters, and characters whose compatibility form is ASCII punctuation, become that form.
2. **No two square brackets touch**, with or without space between them, look-alikes included, so that no text has a
   verdict marker. Double-struck brackets become single ones.
3. **Nothing is a tag**: ``<`` becomes ``‹`` before ``|``, ``/``, ``!``, ``?`` or ``<``, around one word, and where a
   name and a closing ``>`` follow. ``[/...]`` and a word of capitals in square brackets get round ones.
4. **No line is a section mark or a turn**: three dashes at its beginning become two separate ones; the colon behind a
   role at its beginning becomes `` -``, whatever decoration is around them; a decorated role alone gets `` -``.
"""

from __future__ import annotations

import re
import string
import unicodedata

_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2060-\u206f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point of Unicode, as far as it is not of the categories of :func:`_form`."""
_NAMED = {chr(code): unicodedata.name(chr(code), "") for code in range(0x2000, 0x3100)}
_SQUARE = {
    character: unicodedata.category(character)
    for character, name in _NAMED.items()
    if re.search(r"(SQUARE|LENTICULAR|TORTOISE SHELL) BRACKET|CEILING|FLOOR|WITH QUILL|HALF BRACKET", name)
}
_OPEN = r"\[" + "".join(character for character, kind in _SQUARE.items() if kind == "Ps")
_CLOSE = r"\]" + "".join(character for character, kind in _SQUARE.items() if kind == "Pe")
_DASH = r"\-\u2010-\u2015\u2212\u2500\u2501\u2504\u2505\u2508\u2509\u254c\u254d\u2550\u2e3a\u2e3b\u301c\u3030=_~"
_COLON = ":\u02d0\u0589\u05c3\u205a\u2236\ua789"
_BAR = "|\u00a6\u01c0\u2223\u2502\u2503\u2758\u23d0"
_ROLES = "system|user|assistant|developer|tool|human|ai|bot|model|judge|grader|evaluator|verdict|role"

# Linear for every text, as a test checks: all repeats are possessive, and none can run over a place where its pattern
# starts, so that no character is looked at more than a few times.
_OPENING = re.compile(rf"[{_OPEN}](?=\s*+[{_OPEN}])")
_CLOSING = re.compile(rf"[{_CLOSE}](?=\s*+[{_CLOSE}])")
_TAG_MARK = re.compile(rf"<(?=\s*+[{_BAR}/!?<])")
_TAG_WORD = re.compile(r"<(?=(?:[^\s<>]|\s++[^\W\d])[^\s<>]*+\s*+>)")
_TAG_NAME = re.compile(r"(?<![\w)\]])<(?=[^\W\d][^<>\n]*+>)")
_SQUARE_TAG = re.compile(r"\[(\s*+(?:/[^\[\]\n]*+|[a-z]?[A-Z][A-Z_0-9]++\s*+))\]")
_INSTRUCTION = re.compile(r"\[(?=\s*+/?\s*+(?:INST|SYS))", re.IGNORECASE)
_DASHES = re.compile(rf"^((?:[^\S\n]|[>#*+`])*+)([{_DASH}])[{_DASH}][{_DASH}]++", re.MULTILINE)
_ROLE = re.compile(
    rf"^((?:[^\w\n]|[\d_])*+(?:{_ROLES})(?![^\W\d_])"  # decoration, role
    rf"(?:[^\w\n{_COLON}]|[\d_])*+(?:[^\W\d_]++(?:[^\w\n{_COLON}]|[\d_])*+)?)[{_COLON}]",  # at most a word, colon
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(
    rf"^(?=(?:[^\W_]|[^\S\n])*+[^\n])(?:[^\w\n]|[\d_])*+(?:{_ROLES})(?:[^\w\n]|[\d_])*+$",  # with some decoration
    re.IGNORECASE | re.MULTILINE,
)


class _Forms(dict[int, str | None]):
    """Table for ``str.translate`` that is filled as characters occur."""

    def __missing__(self, code: int) -> str | None:
        self[code] = form = _form(chr(code))
        return form


def _form(character: str) -> str | None:
    """Return the visible form of a character; None if it has none."""
    if character in "\n\t":
        return character
    if character in "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029":
        return "\n"
    if unicodedata.category(character) in ("Cc", "Cf", "Cs") or _IGNORABLE.match(character):
        return None
    if character == "\u2800":  # a Braille pattern without dots
        return " "
    if "WHITE SQUARE BRACKET" in _NAMED.get(character, ""):
        return "[" if _SQUARE[character] == "Ps" else "]"
    folded = unicodedata.normalize("NFKC", character)
    full_width = "\uff00" <= character <= "\uffef"
    return folded if full_width or (len(folded) == 1 and folded in string.punctuation) else character


_FORMS = _Forms()


def _without_stray_marks(text: str) -> str:
    """Remove combining marks that stand behind anything but a letter, digit or mark."""
    marks = {character for character in set(text) if unicodedata.category(character)[0] == "M"}
    if not marks:
        return text
    kept: list[str] = []
    for character in text:
        base = kept[-1] if kept else "\n"
        if character not in marks or unicodedata.category(base)[0] in "LNM":
            kept.append(character)
        elif len(composed := unicodedata.normalize("NFC", base + character)) == 1:
            kept[-1] = composed  # such as the sign for inequality
    return "".join(kept)


def neutralize(text: str) -> str:
    """Disarm prompt injections in a text without changing how it reads; the module states the rule."""
    text = _without_stray_marks(text.replace("\r\n", "\n").translate(_FORMS))
    text = _SQUARE_TAG.sub(r"(\1)", text)
    text = _INSTRUCTION.sub("(", text)
    text = _OPENING.sub(r"\g<0> ", text)
    text = _CLOSING.sub(r"\g<0> ", text)
    for tag in (_TAG_MARK, _TAG_WORD, _TAG_NAME):
        text = tag.sub("‹", text)
    text = _DASHES.sub(r"\1\2 \2", text)
    text = _ROLE.sub(r"\1 -", text)
    return _HEADING.sub(r"\g<0> -", text)
