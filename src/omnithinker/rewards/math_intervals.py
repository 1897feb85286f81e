r"""Inequalities in one variable as intervals: ``x<1`` or ``x>3`` is the set ``(-\infty,1)\cup(3,\infty)``.

Computer algebra compares intervals reliably, but neither chains such as ``3>x>1`` nor inequalities joined by words.
"""

from __future__ import annotations

import re

from omnithinker.rewards.math_text import as_number

_RELATION = re.compile(r"(<|>|\\le(?![a-zA-Z])|\\ge(?![a-zA-Z])|\\ne(?![a-zA-Z])|\\in(?![a-zA-Z]))")
_VARIABLE = re.compile(r"[a-zA-Z]|\\[a-z]+")
_OR = re.compile(r"\\text\{\s*or\s*\}|(?<![a-zA-Z\\])or(?![a-zA-Z])|\\lor(?![a-zA-Z])|\\cup(?![a-zA-Z])|[,;]")
_AND = re.compile(r"\\text\{\s*and\s*\}|(?<![a-zA-Z\\])and(?![a-zA-Z])|\\land(?![a-zA-Z])")
_CONSTANT = re.compile(r"(?:\\(?:frac|sqrt|pi|infty|ln|log|cdot|times)(?![a-zA-Z])|[-+\d.,{}()\[\]/*^ e])+")
_FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", r"\ne": r"\ne"}
_INTERVAL = re.compile(r"\\infty|\\cup|\\cap|\\mathbb|^\[.*[\])]$|^\(.*\]$|^\\emptyset$")
"""Text that can only be a set of numbers; ``(1,2)`` may also be a point."""
_PAIR = re.compile(r"[(\[].*,.*[)\]]")


def align_inequalities(gold: str, answer: str) -> tuple[str, str]:
    """Rewrite inequalities as intervals where the other side is an interval or an inequality in the same variable."""
    if not (_RELATION.search(gold) or _RELATION.search(answer)):
        return gold, answer
    gold, answer = _ascending(gold), _ascending(answer)
    gold_set, answer_set = as_intervals(gold), as_intervals(answer)
    if gold_set and answer_set:
        return (gold_set[1], answer_set[1]) if gold_set[0] == answer_set[0] else (gold, answer)
    if answer_set and _INTERVAL.search(gold):
        return gold, answer_set[1]
    if gold_set and (_INTERVAL.search(answer) or _PAIR.fullmatch(answer)):
        return gold_set[1], answer
    return gold, answer


def _ascending(text: str) -> str:
    """Turn a chain such as ``c>b>a`` around."""
    parts = _RELATION.split(text)
    if (
        len(parts) < 5
        or not {part.strip() for part in parts[1::2]} <= {">", r"\ge"}
        or _OR.search(text)
        or _AND.search(text)
    ):
        return text
    return "".join(_FLIPPED.get(part, part) + (" " if part == r"\ge" else "") for part in reversed(parts))


def as_intervals(text: str) -> tuple[str, str] | None:
    """Return (variable, set) of inequalities in one variable with constant bounds; None for anything else."""
    unions, name = [], None
    for alternative in _OR.split(text) if not text.count(r"\in") else [text]:
        pieces = [_piece(part.strip()) for part in _AND.split(alternative)]
        for piece in pieces:
            if piece is None or name not in (None, piece[0]):
                return None
            name = piece[0]
        unions.append(_intersection([piece[1] for piece in pieces if piece]))
    return (name, r"\cup".join(unions)) if name else None


def _intersection(sets: list[str]) -> str:
    """Intersect sets; one bound from each side makes a single interval."""
    if len(sets) == 2:
        lower = next((text for text in sets if text.endswith(r",\infty)")), None)
        upper = next((text for text in sets if text.startswith(r"(-\infty,")), None)
        if lower and upper and r"\cup" not in lower + upper:
            return lower.removesuffix(r"\infty)") + upper.removeprefix(r"(-\infty,")
    return r"\cap".join(f"({text})" if r"\cup" in text else text for text in sets)


def _piece(text: str) -> tuple[str, str] | None:
    """Return (variable, interval) of one inequality, chain or membership."""
    parts = [part.strip() for part in _RELATION.split(text)]
    if len(parts) == 3 and parts[1] == r"\in":
        return (parts[0], parts[2]) if _VARIABLE.fullmatch(parts[0]) and parts[2] else None
    if len(parts) == 3:
        left, relation, right = parts
        if _VARIABLE.fullmatch(right) and not _VARIABLE.fullmatch(left):
            left, relation, right = right, _FLIPPED.get(relation, ""), left
        bound = _bound(right)
        return (left, _ray(relation, bound)) if _VARIABLE.fullmatch(left) and bound and relation != r"\in" else None
    if len(parts) != 5:
        return None
    if parts[1] in (">", r"\ge"):
        parts = [_FLIPPED.get(part, part) for part in reversed(parts)]
    low, first, name, second, high = parts
    lower, upper = _bound(low), _bound(high)
    if not (_VARIABLE.fullmatch(name) and lower and upper and {first, second} <= {"<", r"\le"}):
        return None
    return name, ("(" if first == "<" else "[") + f"{lower},{upper}" + (")" if second == "<" else "]")


def _ray(relation: str, bound: str) -> str:
    return {
        "<": rf"(-\infty,{bound})",
        r"\le": rf"(-\infty,{bound}]",
        ">": rf"({bound},\infty)",
        r"\ge": rf"[{bound},\infty)",
    }.get(relation, rf"(-\infty,{bound})\cup({bound},\infty)")


def _bound(text: str) -> str | None:
    """Return a constant in a standard form; None if the text is not constant."""
    number = as_number(text)
    if number is not None:
        whole = number.denominator == 1
        return str(number) if whole else rf"\frac{{{number.numerator}}}{{{number.denominator}}}"
    return text if text and _CONSTANT.fullmatch(text) else None
