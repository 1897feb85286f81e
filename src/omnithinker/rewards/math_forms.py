"""Recognition of words, quantities with units, assignments and lists in mathematical answers.

Computer algebra is too lenient about these: it accepts any brackets and any unit, and multiplies letters. The rules
here are applied before it, and are documented in docs/rewards.md.
"""

from __future__ import annotations

import re

from omnithinker.rewards.math_text import as_number

_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
_WORD = r"[a-zA-Z][a-zA-Z'’-]*"
_WORDS = re.compile(rf"[a-zA-Z'’-]{{4,}}|{_WORD}(?:(?:,| |, ){_WORD})+")
_SHORT_WORDS = frozenset("yes no odd red one two six ten day mon tue wed thu fri sat sun dne".split())  # noqa: SIM905
_FUNCTIONS = re.compile(r"(?:arc)?(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|max|min)")
_CHOICE = re.compile(r"\(?([A-Z])[).]?")
_SYNONYMS = {"dne": "does not exist", "all reals": "all real numbers", "real numbers": "all real numbers"}


def plain_text(text: str) -> str:
    r"""Replace ``\text{...}`` and similar commands by their content."""
    return _TEXT_COMMAND.sub(r"\1", text).strip()


def as_choice(text: str) -> str | None:
    r"""Return the letter of a choice (``B``, ``(B)``, ``B.``, ``\text{B}``); None for anything else."""
    match = _CHOICE.fullmatch(plain_text(text))
    return match[1] if match else None


def as_words(text: str) -> str | None:
    r"""Return an answer in words (``\text{Monday}``, ``east``, ``no solution``) case-folded; None for formulas.

    A single word must have four letters or be one of a few short ones, because ``xy`` is a product.
    """
    plain = " ".join(plain_text(text).split())
    if len(plain) > 200:
        return None
    is_text = plain != text and re.fullmatch(rf"{_WORD}(?:(?:,| |, ){_WORD})*", plain)
    folded = plain.casefold()
    if not is_text and not (_WORDS.fullmatch(plain) or folded in _SHORT_WORDS):
        return None
    if _FUNCTIONS.match(folded) and not is_text:
        return None
    folded = re.sub(r"[\s,]+", " ", folded)
    return _SYNONYMS.get(folded, folded)


_UNITS = {
    "mm": "millimeter millimetre", "cm": "centimeter centimetre", "m": "meter metre", "km": "kilometer kilometre",
    "in": "inch inches", "ft": "foot feet", "yd": "yard", "mi": "mile",
    "mg": "milligram", "g": "gram", "kg": "kilogram", "lb": "pound lbs", "oz": "ounce", "ton": "tonne",
    "ms": "millisecond", "s": "second sec", "min": "minute", "h": "hour hr hrs", "d": "day", "week": "", "month": "",
    "year": "yr yrs", "ml": "milliliter millilitre", "l": "liter litre",
    "km/h": "kph kmh", "mph": "", "m/s": "",
    "dollar": "usd $ \\$", "cent": "¢", "euro": "eur €", "degree": "deg ^\\circ", "radian": "rad", "unit": "",
}  # fmt: skip
_UNIT_NAMES = {
    name: unit
    for unit, others in _UNITS.items()
    for base in (unit, *others.split())
    for name in ({base, base + "s"} if len(base) > 2 and base.isalpha() else {base})
}
_SPEEDS = {
    "kilometers per hour": "km/h",
    "miles per hour": "mph",
    "meters per second": "m/s",
    "miles/hour": "mph",
    "kilometers/hour": "km/h",
    "meters/second": "m/s",
}
# Words after a number that change its value or meaning.
_NOT_A_UNIT = frozenset(
    """or and not more less over under above below times squared cubed factorial mod minus plus divided percent hundred
    thousand million billion trillion dozen half halves third thirds quarter quarters fourth fourths fifth fifths
    tenth tenths pi infty alpha beta gamma theta sqrt mid cup cap""".split()  # noqa: SIM905
)
_TAIL = re.compile(
    r"(?P<value>.*?[\d)}\]a-zA-Z!])"
    r"(?: ?\\(?:text|textrm|mathrm|mbox)\s*\{\s*(?P<text>[^{}]*?)\s*\}| (?P<word>[a-zA-Z][a-zA-Z/ ]*))"
    r"(?P<power>\^\{?[23]\}?)?"
)


def split_unit(text: str) -> tuple[str, str | None]:
    r"""Separate a quantity from its unit.

    Returns:
        (quantity, standard name of the unit). A trailing ``\text{...}`` or plain noun after a number counts as a unit
        even if it is unknown, and is then named ``?``. Without a unit: (text, None).
    """
    if text.endswith(r"^\circ") and re.fullmatch(r"[-+]?[\d.,]+(?:\\frac\{\d+\}\{\d+\})?", text[:-6].strip()):
        return text[:-6].strip(), "degree"
    if money := re.fullmatch(r"([-+]?)(?:\\\$|\$|€|£)\s*(\d.*)", text):
        return money[1] + money[2], "euro" if "€" in text else "pound" if "£" in text else "dollar"
    match = _TAIL.fullmatch(text)
    if match is None:
        return text, None
    words = " ".join((match["text"] or match["word"] or "").split()).casefold().rstrip(".")
    name = _unit_name(words, match["power"])
    if name is None:
        return (match["value"].strip(), "?") if _is_noun(match, words) else (text, None)
    return match["value"].strip(), name


def _is_noun(match: re.Match[str], words: str) -> bool:
    """Return True if words that are not a known unit name what is counted: ``12 apples``, ``20 cups of feed``."""
    if not words or re.search(r"[=\d]", words) or set(words.split()) & _NOT_A_UNIT:
        return False
    if match["text"] is None and not re.fullmatch(r"[a-z]{3,}(?: [a-z]{2,}){0,3}", words):
        return False
    return re.fullmatch(r"[-+]?[\d.,/\s]+|.*\}", match["value"]) is not None


def _unit_name(words: str, power: str | None) -> str | None:
    for prefix, exponent in (("square ", "^2"), ("sq ", "^2"), ("cubic ", "^3")):
        if words.startswith(prefix):
            words, power = words.removeprefix(prefix), exponent
    name = _SPEEDS.get(words) or _UNIT_NAMES.get(words)
    if name is None:
        return None
    return name + (power or "").replace("{", "").replace("}", "")


_ASSIGNMENT = re.compile(r"([a-zA-Z](?:_\{?\w+\}?)?|\\[a-z]+|[a-zA-Z]\([a-z]\))\s*=\s*([^=<>]+)")


def split_assignment(text: str) -> tuple[str | None, str]:
    """Return (variable, value) of ``x = 5`` or ``f(x) = x^2``; (None, text) if the text is not one assignment."""
    match = _ASSIGNMENT.fullmatch(text)
    if match is None or len(split_list(match[2])) > 1 or re.search(r"\b(?:or|and)\b", match[2]):
        return None, text
    return match[1], match[2].strip()


def split_list(text: str) -> list[str]:
    """Split at commas and semicolons outside all brackets, but not at commas that group thousands."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character in ",;" and depth == 0 and not _groups_thousands(text, position):
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]


def _groups_thousands(text: str, comma: int) -> bool:
    before = re.search(r"(?<![\d.])\d{1,3}(?:,\d{3})*$", text[:comma])
    return before is not None and re.match(r"\d{3}(?!\d)", text[comma + 1 :]) is not None


def brackets(text: str) -> tuple[str, str]:
    r"""Return (pair of brackets around a whole list, content); ("", text) for a single value or without brackets.

    ``\{1,2\}`` gives (``{}``, ``1,2``), ``(1,2]`` gives (``(]``, ``1,2``).
    """
    if text.startswith(r"\{") and text.endswith(r"\}"):
        opening, inner, closing = "{", text[2:-2], "}"
    elif text[:1] in ("(", "[") and text[-1:] in (")", "]") and len(text) > 2:
        opening, inner, closing = text[0], text[1:-1], text[-1]
    else:
        return "", text
    depth = 0
    for character in inner:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:  # ``(1,2),(3,4)``: the first and last bracket do not belong together
            return "", text
    if opening != "{" and len(split_list(inner)) < 2:
        return "", text
    return opening + closing, inner


def align_lists(gold: str, answer: str) -> tuple[str, str] | None:
    """Give two answers that may be lists the same brackets; None if their brackets differ in meaning.

    A list without brackets equals a set, and a tuple in the same order. Sets, tuples (open intervals) and other
    intervals differ from each other.
    """
    gold, answer = _solution(_condition(gold)), _solution(_condition(answer))
    (gold_kind, gold_inner), (answer_kind, answer_inner) = brackets(gold), brackets(answer)
    if gold_kind == answer_kind or not (gold_kind or answer_kind):
        return gold, answer
    if gold_kind and answer_kind:
        return None
    if gold_kind == "{}" or answer_kind == "{}":
        return gold, answer
    bare, inner = (answer, gold_inner) if gold_kind else (gold, answer_inner)
    count = len(split_list(bare))
    if count < 2 or ("(" in bare and not gold_kind):
        return gold, answer
    # ``1,2`` may be a point or a list, but not a closed or half-open interval.
    if (gold_kind or answer_kind) != "()" and count == 2:
        return None
    return (f"({gold_inner})", f"({answer})") if gold_kind else (f"({gold})", f"({inner})")


_SET_BUILDER = re.compile(r"\\\{\s*([a-z])\s*(?:\\in\s*\\mathbb\s*\{?R\}?)?\s*(?:\\mid|\||:)\s*(.+?)\\\}")


def _condition(text: str) -> str:
    r"""Return the condition of a set builder: ``x > 3`` for ``\{x \mid x > 3\}``."""
    match = _SET_BUILDER.fullmatch(text)
    return match[2].strip() if match else text


def _solution(text: str) -> str:
    """Rewrite ``x=3, y=4`` as the point ``(3,4)``, variables in alphabetical order, and ``x=3, x=4`` as ``3,4``."""
    parts = [split_assignment(part) for part in split_list(re.sub(r"\\text\{\s*(?:and|or)\s*\}| and | or ", ",", text))]
    names = [name for name, _ in parts if name is not None]
    if len(parts) < 2 or len(names) != len(parts):
        return text
    if len(set(names)) == 1:
        return ",".join(value for _, value in parts)
    if len(set(names)) == len(names):
        return "(" + ",".join(value for _, value in sorted(parts, key=lambda part: str(part[0]))) + ")"
    return text


_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\s*\\circ")
_PARSER_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")
_TRIGONOMETRIC = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)")


def for_algebra(text: str) -> str:
    """Rewrite what the parser cannot read: some numbers, percent signs, and degrees in trigonometric functions."""
    number = as_number(text)
    if number is not None and not _PARSER_NUMBER.fullmatch(text):
        return rf"\frac{{{number.numerator}}}{{{number.denominator}}}"
    text = text.replace("%", r"\%")
    if _TRIGONOMETRIC.search(text):
        text = _DEGREES.sub(r"{(\1\\pi/180)}", text)
    return text
