"""Recognition of words, quantities with units, assignments and lists in mathematical answers.

Computer algebra is too lenient about these: it accepts any brackets and any unit, and multiplies letters. The rules
here are applied before it, and are documented in docs/rewards.md.
"""

from __future__ import annotations

import itertools
import re
from fractions import Fraction

from omnithinker.rewards.math_text import as_number
from omnithinker.rewards.math_units import split_unit

_TEXT_COMMAND = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt|sc|up)?|math(?:rm|bf|it|sf|tt)|mbox|operatorname)\*?\s*\{([^{}]*)\}"
)
_WORD = r"[a-zA-Z][a-zA-Z'’-]*"
_WORDS = re.compile(rf"[a-zA-Z'’-]{{4,}}|{_WORD}(?:(?:,| |, ){_WORD})+")
_SHORT_WORDS = frozenset("yes no odd red one two six ten day mon tue wed thu fri sat sun dne".split())  # noqa: SIM905
_FUNCTIONS = re.compile(r"(?:arc)?(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|max|min)")
_CHOICE = re.compile(r"\(?([A-Z])[).]?")
_SYNONYMS = {
    "dne": "does not exist", "all reals": "all real numbers", "real numbers": "all real numbers",
    "the real numbers": "all real numbers", "any real number": "all real numbers",
    "every real number": "all real numbers",
    "no solutions": "no solution", "no real solution": "no solution", "no real solutions": "no solution",
    "empty set": "no solution", "the empty set": "no solution", "integers": "all integers",
}  # fmt: skip
_SETS = {"all real numbers": r"\mathbb{R}", "all integers": r"\mathbb{Z}", "no solution": r"\emptyset"}
_SETS |= {"all positive real numbers": r"(0,\infty)", "all real x": r"\mathbb{R}"}


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
    if not is_text and re.fullmatch(r"[a-z](?: [a-z])+", plain):
        return None  # a product
    if _FUNCTIONS.match(folded) and not is_text:
        return None
    folded = re.sub(r"^(?:an?|the) ", "", re.sub(r"[\s,]+", " ", folded))
    return _SYNONYMS.get(folded, folded)


def word_list(words: str) -> list[str]:
    """Return the sorted, different elements of a list in words such as ``red, green and blue``."""
    return sorted({part for part in re.split(r"\s*,\s*|\s+(?:and|or)\s+|;", words) if part})


def set_in_symbols(text: str) -> str:
    """Replace a set that is given in words, such as ``all real numbers``, by its symbol."""
    words = as_words(text)
    return text if words is None else _SETS.get(words.removeprefix("the ").removeprefix("set of "), text)


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
    grouping = {position for run in _THOUSANDS.finditer(text) for position in range(run.start(), run.end())}
    for position, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character in ",;" and depth == 0 and position not in grouping:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]


_THOUSANDS = re.compile(r"(?<![\d,.])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_CONNECTOR = re.compile(
    r"\\text\{\s*(?:and|or)\s*\}|\\(?:lor|land|vee|wedge)(?![a-zA-Z])|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])"
)


def elements(text: str) -> list[str]:
    """Split a list at commas, semicolons and the words ``and`` and ``or``; leave out empty and repeated elements."""
    return list(dict.fromkeys(part for part in split_list(_CONNECTOR.sub(",", text)) if part))


def _inner_list(inner: str) -> list[str]:
    """Split what stands in brackets: ``(5,100)`` has two elements."""
    parts = split_list(inner)
    return inner.split(",") if len(parts) == 1 and _THOUSANDS.fullmatch(inner) else parts


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
    if opening != "{" and len(_inner_list(inner)) < 2:
        return "", text
    return opening + closing, inner


_SIGNS = re.compile(r"\\([pm])[mp](?![a-zA-Z]) *")
_POSITIVE = re.compile(r"(^|[({=,&]) *\+")


def both_signs(text: str) -> str:
    r"""Write both values of ``a\pm b`` out, in a list or a set; a second sign of the same kind would be ambiguous."""
    if _SIGNS.search(text) is None:
        return text
    inner = text[2:-2] if brackets(text)[0] == "{}" else text
    parts = ", ".join(value for part in elements(inner) for value in _values_of_signs(part))
    return parts if inner == text else rf"\{{{parts}\}}"


def _values_of_signs(part: str) -> list[str]:
    signs = _SIGNS.findall(part)
    if not signs or len(signs) != len(set(signs)):
        return [part]
    upper = _SIGNS.sub(lambda match: "+" if match[1] == "p" else "-", part)
    lower = _SIGNS.sub(lambda match: "-" if match[1] == "p" else "+", part)
    return [_POSITIVE.sub(r"\1", value) for value in (upper, lower)]


def ratio(text: str) -> str:
    """Rewrite ``a:b:c`` as the point ``(b/a, c/b)``, since ratios are equal if their quotients are."""
    terms = text.split(":")
    if len(terms) < 3 or not all(terms) or re.search(r"\\[{|]|=", text):
        return text
    return "(" + ", ".join(rf"\frac{{{after}}}{{{before}}}" for before, after in itertools.pairwise(terms)) + ")"


_CONGRUENCE = re.compile(r"(?:(.+?)\\equiv *)?([-+]?\d+) *\\pmod\{(\d+)\}")


def congruence(text: str) -> tuple[str | None, int, int] | None:
    r"""Return (left side or None, residue, modulus) of ``x\equiv 3\pmod{7}`` or ``3\pmod{7}``; None for others."""
    match = _CONGRUENCE.fullmatch(text)
    if match is None or len(text) > 200 or int(match[3]) == 0:
        return None
    return (match[1] and match[1].strip()), int(match[2]), int(match[3])


def align_lists(gold: str, answer: str) -> tuple[str, str] | None:
    """Give two answers that may be lists the same form; None if their brackets differ in meaning.

    A list without brackets equals a set, and a tuple in the same order. Sets, tuples (open intervals) and other
    intervals differ from each other. Lists and sets become one element per line.
    """
    gold, answer = _solution(both_signs(gold)), _solution(both_signs(answer))
    (gold_kind, gold_inner), (answer_kind, answer_inner) = brackets(gold), brackets(answer)
    if {gold_kind, answer_kind} <= {"", "{}"}:
        return _lines(gold_kind, gold_inner) or gold, _lines(answer_kind, answer_inner) or answer
    if gold_kind == answer_kind:
        return _ordered(gold_kind, gold_inner), _ordered(answer_kind, answer_inner)
    if gold_kind and answer_kind:
        return None
    bare, inner = (answer, gold_inner) if gold_kind else (gold, answer_inner)
    count = len(elements(bare))
    if count < 2 or ("(" in bare and not gold_kind):
        return gold, answer
    # ``1,2`` may be a point or a list, but not a closed or half-open interval.
    if (gold_kind or answer_kind) != "()" and count == 2:
        return None
    listed = f"({', '.join(elements(bare))})"
    return (f"({gold_inner})", listed) if gold_kind else (listed, f"({inner})")


def _ordered(kind: str, inner: str) -> str:
    parts = [part.replace(",", "") if _THOUSANDS.fullmatch(part) else part for part in _inner_list(inner)]
    return f"{kind[0]}{', '.join(parts)}{kind[1]}"


def _lines(kind: str, inner: str) -> str:
    if kind and inner == r"\emptyset":
        return ""  # a set with one element
    parts = _inner_list(inner) if kind else elements(inner)
    return "\n".join(split_unit(part)[0] if len(parts) > 1 else part for part in parts)


def numbers_of(aligned: str) -> list[Fraction] | None:
    """Return the elements of a list from :func:`align_lists` if all are numbers, else None."""
    kind, inner = ("", aligned) if "\n" in aligned else brackets(aligned)
    parts = inner.split("\n") if not kind else inner.split(", ") if ", " in inner else _inner_list(inner)
    numbers = [as_number(part) for part in parts]
    return None if None in numbers else [number for number in numbers if number is not None]


_MEMBER = re.compile(r"^[a-zA-Z] ?\\in ?(?=\\\{[^|:]*\\\}$)")
_SET_BUILDER = re.compile(r"\\\{\s*([a-z])\s*(?:\\in\s*\\mathbb\s*\{?R\}?)?\s*(?:\\mid|\||:)\s*(.+?)\\\}")


def condition(text: str) -> str:
    r"""Return ``x > 3`` for the set builder ``\{x \mid x > 3\}``, and ``\{1,2\}`` for ``x\in\{1,2\}``."""
    match = _SET_BUILDER.fullmatch(text)
    return match[2].strip() if match else _MEMBER.sub("", text)


def _solution(text: str) -> str:
    """Rewrite ``x=3, y=4`` as the point ``(3,4)``, variables in alphabetical order, and ``x=3, x=4`` as ``3,4``."""
    parts = [split_assignment(part) for part in elements(text)]
    names = [name for name, _ in parts if name is not None]
    if len(parts) < 2 or len(names) != len(parts):
        return text
    if len(set(names)) == 1:
        return ", ".join(value for _, value in parts)
    if len(set(names)) == len(names):
        return "(" + ", ".join(value for _, value in sorted(parts, key=lambda part: str(part[0]))) + ")"
    return text


_PRIMES = re.compile(r"(?<![a-zA-Z])([a-zA-Z])('+)")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\s*\\circ")
_PARSER_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")
_TRIGONOMETRIC = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)")


_TRANSPOSED = re.compile(r"\^\s*(?:T(?![a-zA-Z])|\{\s*T\s*\})")
"""An exponent that the parser takes for the transposition of a number, which changes nothing."""
_MISREAD = re.compile(r"\\[gG]amma(?![a-zA-Z])|I|[eE]\s*_|_\s*\{?\s*\\")
_NAME = re.compile(
    r"(\\[a-zA-Z]+|[a-zA-Z])(?:\s*_\s*(?:\{((?:[^{}]|\{[^{}]*\})*)\}|([a-zA-Z0-9]|\\[a-zA-Z]+)))?(?P<call>\s*[({])?"
)
_GREEK = re.compile(
    r"\\(?:alpha|beta|delta|(?:var)?epsilon|zeta|eta|(?:var)?theta|iota|kappa|lambda|mu|nu|xi|rho|sigma|tau|upsilon"
    r"|(?:var)?phi|chi|psi|omega|Delta|Theta|Lambda|Xi|Sigma|Phi|Psi|Omega|ell|hbar)"
)
_SUBSCRIPT_SIGNS = str.maketrans({"+": "plus", "-": "minus", "*": "star", ",": "comma", "/": "over", "'": "prime"})


def _readable_name(match: re.Match[str]) -> str:
    r"""Rename what the parser takes for something else: ``\gamma`` is its function, ``I`` its imaginary unit.

    It also reads no index of ``e``, and no command in an index.
    """
    name, index = match[1], match[2] or match[3] or ""
    misread = name in (r"\gamma", "I") or (name == r"\Gamma" and not match["call"]) or (index and name in "eE")
    if not misread and not ("\\" in index and (len(name) == 1 or _GREEK.fullmatch(name))):
        return match[0]
    letters = re.sub(r"[^a-zA-Z0-9]", "", plain_text(index).translate(_SUBSCRIPT_SIGNS))
    if misread:
        name, letters = "v", {"I": "capi"}.get(name, name.strip("\\").lower() + name.strip("\\")[:1]) + letters
    return f"{name}_{{{letters}}}{match['call'] or ''}"


def for_algebra(text: str) -> str:
    """Rewrite what the parser cannot read: some numbers and names, percent signs, degrees in trigonometric functions.

    Each line is rewritten by itself.
    """
    if "\n" in text:
        return "\n".join(map(for_algebra, text.split("\n")))
    number = as_number(text)
    if number is not None and not _PARSER_NUMBER.fullmatch(text):
        return rf"\frac{{{number.numerator}}}{{{number.denominator}}}"
    text = text.replace("%", r"\%")
    if r"\partial^" in text:
        text = re.sub(r"\\partial ?", "d", text)
    if "'" in text:
        text = _PRIMES.sub(lambda match: f"{match[1]}_{{{'p' * len(match[2])}}}", text)
    if "^" in text and "matrix" not in text:
        text = _TRANSPOSED.sub("^{t}", text)
    if _MISREAD.search(text):
        text = _NAME.sub(_readable_name, text)
    if _TRIGONOMETRIC.search(text):
        text = _DEGREES.sub(r"{(\1\\pi/180)}", text)
    return text
