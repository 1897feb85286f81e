"""Normalization of mathematical answers, and exact parsing of numbers.

Uses string operations and :class:`fractions.Fraction`; no computer algebra.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

MAX_LENGTH = 512
"""Maximum length of an expression that is passed to computer algebra, characters."""

_CHARACTERS = str.maketrans(
    {
        "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "⁄": "/", "∕": "/",
        "π": r"\pi ", "∞": r"\infty ", "°": r"^\circ ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
        "∪": r"\cup ", "∩": r"\cap ", "∅": r"\emptyset ", "∈": r"\in ", "±": r"\pm ", "θ": r"\theta ",
        "℃": r"^\circ C", "℉": r"^\circ F", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}",
        "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
        "²": "^2", "³": "^3", "⁴": "^4", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "，": ",", "％": "%",
        "（": "(", "）": ")", "＝": "=", "。": ".", "；": ";", "：": ":", "…": r"\ldots ",
    } | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
)  # fmt: skip
_PAIRS = ((r"\[", r"\]"), (r"\(", r"\)"), ("$$", "$$"), ("$", "$"), ("**", "**"), ("`", "`"))
_COMMANDS = {
    **dict.fromkeys(["left", "right", "displaystyle", "textstyle", "scriptstyle", "limits"], ""),
    **{first + "ig" + second + side: "" for first in "bB" for second in ("", "g") for side in ("", "l", "r")},
    **dict.fromkeys(("dfrac", "tfrac", "cfrac"), r"\frac"),
    **{"leq": r"\le", "geq": r"\ge", "neq": r"\ne", "varnothing": r"\emptyset", "degree": r"^\circ"},
    **{"dots": r"\ldots", "dotsc": r"\ldots", "lg": r"\log_{10}", "backslash": r"\setminus"},
    **{"lbrace": r"\{", "rbrace": r"\}", "imath": "i", "jmath": "i", "quad": " ", "qquad": " "},
}
"""Commands that are removed or have another spelling."""
_COMMAND = re.compile(rf"\\({'|'.join(_COMMANDS)})(?![a-zA-Z])(\s*)")
_NAMED = r"(?:\\(?:text|mathrm|operatorname)\{{{0}\}}|(?<![a-zA-Z\\{{]){0})(?=\s*(?:\(|\\?\{{))"
_REWRITES: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (needs, re.compile(pattern), replacement)
    for needs, pattern, replacement in (
        ("%", r"\\%", "%"),
        ("percent", r"(?<=\d) ?\bpercent\b", "%"),
        ("\\!", r"(?<!\\)\\!(?: +(?=\d))?", ""),
        ("./", r"(?<=\d)\./(?=\d)", "/"),
        ("np.", r"(?<![a-zA-Z])np\.(?=[a-z])", r"\\"),
        ("~", r"~", " "),
        ("\\", r"(?<!\\)\\[,;:> ]|\\hspace\{[^{}]*\}", " "),
        ("\\circ", r"\^\s*\{\s*\\circ\s*\}", r"^\\circ"),
        ("math", r"\\math(?:rm|it|bf)\s*\{\s*([eid])\s*\}", r"\1"),
        ("operator", r"\\operatorname\*?\s*\{\s*([eid])\s*\}", r"\1"),
        ("text", r"\\text(?:rm)?\s*\{\s*([eid])\s*\}", r"\1"),
        ("mathbb", r"\\mathbb ?([A-Z])", r"\\mathbb{\1}"),
        ("math", r"\\mathrm ([eid])(?![a-zA-Z])", r"\1"),
        ("text", r"^\\text(?:bf|normal|rm)?\s*\{\s*([-+]?\d[^{}]*)\}$", r"\1"),
        ("d", r"(?<![a-zA-Z\\{])d([a-zA-Z])\s*/\s*d([a-zA-Z])(?![a-zA-Z])", r"\\frac{d\1}{d\2}"),
        ("arc", r"(?<![a-zA-Z\\])arc(sin|cos|tan)(?![a-zA-Z])", r"\\arc\1"),
        ("pi", r"(?<![a-zA-Z\\])pi(?![a-zA-Z])", r"\\pi"),
        ("inf", r"(?<![a-zA-Z\\])inf(?:inity|ty)?(?![a-zA-Z])", r"\\infty"),
        ("oo", r"(?<![a-zA-Z\\])oo(?![a-zA-Z])", r"\\infty"),
        ("**", r"(?<=[\w)}])\s*\*\*\s*(?=[\w({-])", "^"),
        ("√", r"√\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        ("√", r"√\s*(\w+)", r"\\sqrt{\1}"),
        ("sqrt", r"(?<![a-zA-Z\\])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        ("{,}", r"(?<=\d)\{,\}(?=\d{3})", ","),
        ("\\frac", r"\\frac\s*([^\s{}\\])\s*([^\s{}\\])", r"\\frac{\1}{\2}"),
        ("\\frac", r"\\frac\s*\{([^{}]*)\}\s*(\d)", r"\\frac{\1}{\2}"),
        ("\\sqrt", r"\\sqrt(\[[^][]*\])?\s*([^\s{}\\\[])", r"\\sqrt\1{\2}"),
        ("binom", r"\\[dt]?binom\s*([^\s{}\\])\s*([^\s{}\\])", r"\\binom{\1}{\2}"),
        ("max", _NAMED.format("max"), r"\\max"),
        ("min", _NAMED.format("min"), r"\\min"),
        ("gcd", _NAMED.format("gcd"), r"\\gcd"),
        ("lcm", _NAMED.format("lcm"), r"\\operatorname{lcm}"),
        ("m", r"\\(max|min|gcd|operatorname\{lcm\})\s*\\?\{([^{}\\]*)\\?\}", r"\\\1(\2)"),
        ("angle", r"\\langle((?:(?!\\[lr]angle).)*?,(?:(?!\\[lr]angle).)*?)\\rangle", r"(\1)"),
        (">", r"^<([^<>]+,[^<>]+)>$", r"(\1)"),
        ("]", r"(^|\\(?:cup|in) ?)\]([^][()]+,[^][()]+)(?=[][)])", r"\1(\2"),
        ("[", r"([(\[][^][()]+,[^][()]+)\[(?=$| ?\\cup)", r"\1)"),
        ("mod", r"\\pmod(?![a-zA-Z])\s*\{?(\d+)\}?", r"\\pmod{\1}"),
        ("mod", r"\(\s*(?:\\?b?mod|\\text\{ ?mod ?\})\s*\{?(\d+)\}?\s*\)", r"\\pmod{\1}"),
        ("\\{", r"(?<=\\mathbb\{[A-Z]\}) ?- ?(?=\\\{)", r"\\setminus"),
        ("mathbb{R}", r"\\mathbb\{R\}\s*\^\s*\{?\s*\+\s*\}?|\\mathbb\{R\}_\{\+\}", r"(0,\\infty)"),
    )
)
"""(text that every match contains, pattern, replacement), applied in this order."""
_NEEDLESS_SPACE = re.compile(
    # The space in ``5, 100`` tells a list from the number ``5,100``.
    r"(?<![a-zA-Z0-9}]) (?!(?<=\d, )(?:\d{1,3},)?\d{3}(?!\d)|(?<=,\d{3}, )\d)| (?![a-zA-Z0-9\\{])"
)
SIMPLE_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+|/\d+)?", re.ASCII)
"""A number in the form that :func:`normalize` returns."""
_PLAIN = re.compile(
    r"(?P<sign>[-+]?)(?P<int>[1-9]\d{0,2}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)?(?P<dec>\.\d*)?"
    r"(?:[eE](?P<exp>[-+]?\d{1,3}))?"
)
_REPEATING = re.compile(r"([-+]?)(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{?(\d+)\}?")
_RATIO = re.compile(r"([-+]?)\(?([-+]?)(\d+)\)?\s*/\s*\(?([-+]?)(\d+)\)?")
_FRAC = re.compile(r"([-+]?)\s*\\frac\{\s*([-+]?)(\d+)\s*\}\{\s*([-+]?)(\d+)\s*\}")
_MIXED = re.compile(r"([-+]?)\s*(\d+)\s*(?:\\frac\{(\d+)\}\{(\d+)\}| (\d+)\s*/\s*(\d+))")
_POWER = re.compile(r"(.+?)\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*\{?\s*([-+]?\d{1,3})\s*\}?")


_ELLIPSIS = re.compile(r", *\.{2,}")
_DOTS = re.compile(r"(?<=\d)\.{2,}(?!\d)")
"""Several periods behind a number say no more than one."""


def normalize(text: str) -> str:
    r"""Normalize an answer without changing its meaning.

    Removes ``$``, ``\(``, ``\boxed`` and a final period around it, and unifies spacing and spelling variants of LaTeX.
    Only the end of a very long text is read.
    """
    text = text[-8 * MAX_LENGTH :].strip()
    if SIMPLE_NUMBER.fullmatch(text):
        return text
    text = text if text.isascii() else text.translate(_CHARACTERS).strip()
    if ".." in text:
        text = _DOTS.sub("", _ELLIPSIS.sub(r",\\ldots ", text)).strip()
    text = _unwrap(text)
    if SIMPLE_NUMBER.fullmatch(text):
        return text
    if "\\" in text:
        text = _COMMAND.sub(_standard_command, text)
    for needs, pattern, replacement in _REWRITES:
        if needs in text:
            text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    return _NEEDLESS_SPACE.sub("", text).strip() if " " in text else text


def _standard_command(match: re.Match[str]) -> str:
    replacement = _COMMANDS[match[1]]
    return replacement + match[2] if replacement else ""


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


MAX_OPEN_BOXES = 4
"""Maximum boxes without a closing brace that are skipped in the search for the last complete one."""


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last complete ``\boxed{...}`` or ``\fbox{...}``; None if there is none."""
    starts = [match.end() for match in re.finditer(r"\\(?:boxed|fbox)\s*\{", text)]
    for start in starts[: -1 - MAX_OPEN_BOXES : -1]:
        depth = 1
        for position in range(start, len(text)):
            character = text[position]
            if character in "{}" and (position == 0 or text[position - 1] != "\\"):
                depth += 1 if character == "{" else -1
            if depth == 0:
                return text[start:position].strip()
    return None


def as_number(text: str) -> Fraction | None:
    r"""Return the exact value of a number; None for anything else and for texts of more than 200 characters.

    Accepted are integers, decimals, repeating decimals, ``a/b``, ``\frac{a}{b}``, mixed and scientific numbers.
    Thousands may be grouped by commas or spaces.
    """
    if len(text) > 200:
        return None
    if match := _PLAIN.fullmatch(text):
        return _plain(match)
    if match := _RATIO.fullmatch(text) or _FRAC.fullmatch(text):
        return _quotient(match[1] + match[2] + match[4], int(match[3]), int(match[5]))
    if match := _MIXED.fullmatch(text):
        part = _quotient("", int(match[3] or match[5]), int(match[4] or match[6]))
        return None if part is None else (-1 if match[1] == "-" else 1) * (int(match[2]) + part)
    if match := _REPEATING.fullmatch(text):
        return _repeating(match)
    if (match := _POWER.fullmatch(text)) and (base := _PLAIN.fullmatch(match[1])):
        value = _plain(base)
        return None if value is None else value * Fraction(10) ** int(match[2])
    return None


def _plain(match: re.Match[str]) -> Fraction | None:
    whole, decimals = match["int"] or "", (match["dec"] or "").rstrip(".")
    if not whole and not decimals:
        return None
    value = Fraction(match["sign"] + (whole.replace(",", "").replace(" ", "") or "0") + decimals)
    return value * Fraction(10) ** int(match["exp"]) if match["exp"] else value


def _quotient(signs: str, numerator: int, denominator: int) -> Fraction | None:
    if denominator == 0:
        return None
    value = Fraction(numerator, denominator)
    return -value if signs.count("-") % 2 else value


def _repeating(match: re.Match[str]) -> Fraction:
    """0.1(6) = 0.1 + 6 / 90."""
    sign, whole, decimals, period = match.groups()
    scale = 10 ** len(decimals)
    value = Fraction(int((whole + decimals) or "0"), scale) + Fraction(int(period), scale * (10 ** len(period) - 1))
    return -value if sign == "-" else value


_TOWER = re.compile(r"\^\s*[^\s{]\s*\^|\*\*[^*]*\*\*")
_SMALL_EXPONENT = re.compile(r"[-+]?(\d{1,4})\^\{?(\d{1,2})\}?")
_NUMBERS = re.compile(r"(\d+)\s*\)?\s*\^\s*[{(]?\s*(\d+)")
_NAME = re.compile(
    r"\\(?:alpha|beta|gamma|lambda|mu|omega|theta|phi|tau|sigma|[xy]i)|(?<![a-zA-Z\\])(?!e(?![a-z]))[a-zA-Z]+"
)
MAX_EXPONENT = 9999
"""Maximum numeric exponent that is computed."""
_BIG_POWER = re.compile(r"(?:\^|\*\*)\s*[{(]*\s*[-+]?\s*\d[\d,]{4,}|\d[\d,]{3,}\s*!|!\s*!|e[-+]?\d{4,}", re.IGNORECASE)
_BIG_NUMBER = re.compile(r"\d{101,}")


def too_complex(text: str) -> bool:
    """Return True if computer algebra could hang: very long text, tower of powers, huge power or factorial."""
    return (
        len(text) > MAX_LENGTH
        or _huge_power(text)
        or _TOWER.search(text) is not None
        or _BIG_POWER.search(text) is not None
        or _BIG_NUMBER.search(text) is not None
        or _depth(text) > 20
    )


def _huge_power(text: str) -> bool:
    """Return True if a power may have millions of digits because of powers in its exponent or of its base.

    ``e^{x^2}`` is harmless, as is ``2^{2^3}``.
    """
    if text.count("^") < 2:
        return False
    for content in _exponents(text):
        if "^" not in content:
            continue
        if any("^" in inner for inner in _exponents(content)):
            return True
        small = _SMALL_EXPONENT.fullmatch(content)
        if not (small or _NAME.search(content)):
            return True
        if any(_above(int(base), int(power)) for base, power in _NUMBERS.findall(content)):
            return True
    if not re.search(r"[)}]\s*\^", text):
        return False
    return math.prod(int(power) for power in re.findall(r"\^\s*\{?\s*(\d+)", text)) > 1000 * MAX_EXPONENT


def _exponents(text: str) -> list[str]:
    """Return the contents of the outermost ``^{...}``."""
    found: list[str] = []
    end = 0
    for match in re.finditer(r"\^\s*\{", text):
        if match.start() < end:
            continue
        depth, end = 1, match.end()
        while end < len(text) and depth:
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        found.append(text[match.end() : end - 1].replace(" ", ""))
    return found


def _above(base: int, power: int) -> bool:
    """Return True if a power is above the limit of exponents."""
    return base > 1 and (power > MAX_EXPONENT.bit_length() or base**power > MAX_EXPONENT)


def balanced(text: str) -> bool:
    r"""Return True if unescaped curly braces are balanced; unbalanced ones could end the ``\boxed`` around the text."""
    depth = 0
    for brace in re.findall(r"\\.|[{}]", text):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return False
    return depth == 0


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "({[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")}]":
            depth -= 1
    return deepest
