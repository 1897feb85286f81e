"""Bringing mathematical answers to one written form, and deciding the cheap cases exactly.

Everything here is string work and :class:`fractions.Fraction`; no computer algebra.
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_LENGTH = 512
"""Longest expression, in characters, that is handed to computer algebra."""

_CHARACTERS = str.maketrans(
    {
        "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "⁄": "/", "∕": "/",
        "π": r"\pi ", "∞": r"\infty ", "°": r"^\circ ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
        "∪": r"\cup ", "∩": r"\cap ", "∅": r"\emptyset ", "∈": r"\in ", "±": r"\pm ", "θ": r"\theta ",
        "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
        "²": "^2", "³": "^3", "⁴": "^4", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "，": ",", "％": "%",
        "（": "(", "）": ")", "＝": "=",
    } | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
)  # fmt: skip
_PAIRS = ((r"\[", r"\]"), (r"\(", r"\)"), ("$$", "$$"), ("$", "$"), ("**", "**"), ("`", "`"))
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\s*", ""),
        (r"\\(?:displaystyle|textstyle|scriptstyle|limits)(?![a-zA-Z])\s*", ""),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\[!,;:>]|\\ |~|\\q?quad(?![a-zA-Z])|\\hspace\{[^{}]*\}", " "),
        (r"\\leq(?![a-zA-Z])", r"\\le"),
        (r"\\geq(?![a-zA-Z])", r"\\ge"),
        (r"\\neq(?![a-zA-Z])", r"\\ne"),
        (r"\\varnothing(?![a-zA-Z])", r"\\emptyset"),
        (r"\\(?:lbrace|\{)(?![a-zA-Z])", r"\\{"),
        (r"\\rbrace(?![a-zA-Z])", r"\\}"),
        (r"\\degree(?![a-zA-Z])|\^\s*\{\s*\\circ\s*\}", r"^\\circ"),
        (r"√\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"√\s*(\w+)", r"\\sqrt{\1}"),
        (r"(?<![a-zA-Z\\])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?<=\d)\{,\}(?=\d{3})", ","),
        (r"\\frac\s*([^\s{}\\])\s*([^\s{}\\])", r"\\frac{\1}{\2}"),
        (r"\\frac\s*\{([^{}]*)\}\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\sqrt\s*([^\s{}\\\[])", r"\\sqrt{\1}"),
        (r"\s+", " "),
        (r"(?<![a-zA-Z0-9}]) | (?![a-zA-Z0-9\\{])", ""),
    )
)
_INTEGER = r"\d+|\d{1,3}(?:,\d{3})+"
_PLAIN = re.compile(rf"(?P<sign>[-+]?)(?P<int>{_INTEGER})?(?P<dec>\.\d*)?(?:[eE](?P<exp>[-+]?\d{{1,3}}))?")
_RATIO = re.compile(r"([-+]?)\s*(\d+)\s*/\s*(\d+)")
_FRAC = re.compile(r"([-+]?)\s*(?:(\d+)\s*)?\\frac\{\s*([-+]?\d+)\s*\}\{\s*(\d+)\s*\}")
_MIXED = re.compile(r"([-+]?)\s*(\d+) (\d+)/(\d+)")
_POWER = re.compile(r"(.+?)\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*\{?\s*([-+]?\d{1,3})\s*\}?")


def normalise(text: str) -> str:
    r"""One written form for an answer: unwrapped from ``$``, ``\(``, ``\boxed`` and a final period, spacing and
    spelling variants of LaTeX removed. Does not change what the answer says.
    """
    text = text.translate(_CHARACTERS).strip()
    text = _unwrap(text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.strip()


def _unwrap(text: str) -> str:
    while True:
        before = text
        boxed = last_boxed(text)
        if boxed is not None:
            text = boxed
        for opening, closing in _PAIRS:
            inner = text[len(opening) : len(text) - len(closing)]
            if (
                len(text) > len(opening) + len(closing)
                and text.startswith(opening)
                and text.endswith(closing)
                and opening not in inner
                and closing not in inner
            ):
                text = inner.strip()
        # A period ends a sentence unless it ends a number such as "3." (same value either way).
        text = text.removesuffix(".").strip()
        if text == before:
            return text


def last_boxed(text: str) -> str | None:
    r"""Content of the last complete ``\boxed{...}`` or ``\fbox{...}``; None if there is none."""
    starts = [match.end() for match in re.finditer(r"\\(?:boxed|fbox)\s*\{", text)]
    for start in reversed(starts):
        depth = 1
        for position in range(start, len(text)):
            character = text[position]
            if character in "{}" and (position == 0 or text[position - 1] != "\\"):
                depth += 1 if character == "{" else -1
            if depth == 0:
                return text[start:position].strip()
    return None


def as_number(text: str) -> Fraction | None:
    r"""Exact value of an integer, decimal, ``a/b``, ``\frac{a}{b}``, mixed or scientific number; None if it is none.

    Thousands may be grouped by commas. Numbers of more than 200 characters are not read.
    """
    if len(text) > 200:
        return None
    if match := _POWER.fullmatch(text):
        base = _plain(match[1])
        return None if base is None else base * Fraction(10) ** int(match[2])
    if match := _RATIO.fullmatch(text):
        return _signed(match[1], 0, int(match[2]), int(match[3]))
    if match := _FRAC.fullmatch(text):
        return _signed(match[1], int(match[2] or 0), int(match[3]), int(match[4]))
    if match := _MIXED.fullmatch(text):
        return _signed(match[1], int(match[2]), int(match[3]), int(match[4]))
    return _plain(text)


def _plain(text: str) -> Fraction | None:
    match = _PLAIN.fullmatch(text.strip())
    if match is None or not (match["int"] or (match["dec"] and len(match["dec"]) > 1)):
        return None
    digits = (match["int"] or "0").replace(",", "")
    value = Fraction(f"{match['sign']}{digits}{(match['dec'] or '').rstrip('.')}")
    return value * Fraction(10) ** int(match["exp"] or 0)


def _signed(sign: str, whole: int, numerator: int, denominator: int) -> Fraction | None:
    if denominator == 0:
        return None
    value = whole + Fraction(numerator, denominator)
    return -value if sign == "-" else value


_TOWER = re.compile(r"\^\s*(?:\{[^{}]*\^|\S\s*\^)|\*\*[^*]*\*\*")
_BIG_POWER = re.compile(r"(?:\^|\*\*)\s*[{(]*\s*[-+]?\s*\d[\d,]{4,}|\d[\d,]{3,}\s*!|!\s*!|e[-+]?\d{4,}", re.IGNORECASE)
_BIG_NUMBER = re.compile(r"\d{101,}")


def too_complex(text: str) -> bool:
    """Whether an expression is a bomb for computer algebra: very long, a tower of powers, a huge power or factorial."""
    return (
        len(text) > MAX_LENGTH
        or _TOWER.search(text) is not None
        or _BIG_POWER.search(text) is not None
        or _BIG_NUMBER.search(text) is not None
        or _depth(text) > 20
    )


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "({[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")}]":
            depth -= 1
    return deepest


_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox)\s*\{([^{}]*)\}")
_WORDS = re.compile(r"[a-zA-Z][a-zA-Z'’-]+(?:[ ,]+(?:and )?[a-zA-Z][a-zA-Z'’-]*)*")
_CHOICE = re.compile(r"\(?([A-Z])\)?")
MAX_WORDS = 3
"""A gold answer in words without ``\\text`` is taken as text up to this many words."""


def as_words(text: str) -> str | None:
    r"""The text of an answer in words (``\text{Monday}``, ``east``, ``(B)``), folded to compare; None for formulas."""
    plain = _TEXT_COMMAND.sub(r"\1", text).strip()
    if choice := _CHOICE.fullmatch(plain):
        return choice[1].lower()
    if _WORDS.fullmatch(plain):
        return re.sub(r"[\s,]+", " ", plain).casefold()
    return None
