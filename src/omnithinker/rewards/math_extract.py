r"""Search for the final answer in the text of an answer: boxes, then formulas, then what a sentence says.

Several boxes, and several formulas in the place of one, are joined by commas or by the word between them, so that all
of them count: a completion that names several values must be right about all.
"""

from __future__ import annotations

import re

from omnithinker.rewards.math_units import split_unit

_LEAD_IN = re.compile(
    r"[*#_ ]*(?:(?:so|thus|hence|therefore),? )?(?:the |my )?(?:final |correct )?(?:answer|result|solution)s?"
    r"[*_]*(?: is| are|:|=| =)+:?[*_]* *",
    re.IGNORECASE,
)
_OPENING = re.compile(r"(?:either\s+|both\s+|=\s*)", re.IGNORECASE)
_BRACES = re.compile(r"(\\(?:boxed|fbox)\s*\{)|\\.|([{}])", re.DOTALL)
_FORMULA = re.compile(
    r"(?<!\\)\$\$((?:[^$\\]|\\.)+)\$\$|(?<!\\)\$((?:[^$\\]|\\.)+)\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL
)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_BETWEEN = re.compile(r"(?:[\s,;.]|\\text\{|\\quad|\}|\b(?:and|or|either|both)\b)*", re.IGNORECASE)
"""Text around the formulas of a list."""
_VERB = re.compile(
    r"(?<![\w'’])(?:is|are|was|were|be|becomes|equal to|equals?|gets?|obtains?|gives?|yields?|finds?|have|has|so|thus"
    r"|hence|therefore)(?![\w'’])|:(?=\s)",
    re.IGNORECASE,
)
"""Word after which a sentence names its result."""
_NEGATION = re.compile(r"\b(?:not|never|neither|nor|cannot|no)\b|n['’]t\b", re.IGNORECASE)
_COMPARISON = re.compile(
    r"\b(?:more|less|fewer|greater|larger|smaller|bigger|rather|other) than\b|\bat (?:least|most)\b|\b(?:between|over"
    r"|under|above|below|except|unless|without|wrong|incorrect|instead)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?]\s+(?=[A-Z])|\n\s*\n")
_CONDITION = re.compile(
    r"\b(?:when|if|where|for|at|with|as|since|because|in|on|by|from|per|which|modulo|out)\b", re.IGNORECASE
)
_PLAIN_NUMBER = re.compile(r"(?<![\w.^{])[-+]?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")
_RESULT = re.compile(r"\S*[+*/^\\\d√π]\S*$|[(\[]|[-+]?\s*\\?\$?[-+]?[\d.]|\\(?!text)")
_PLACE = "\ue000"
"""Stands for a formula while the words around it are read."""


_WITH_CONDITION = re.compile(rf"{_PLACE}+[,;]? *(?={_CONDITION.pattern})", re.IGNORECASE)
"""A formula that a condition follows: ``$ax+b$, where $a>0$``."""
_ALTERNATIVE = re.compile(r"\b(?:or|otherwise|else)\b", re.IGNORECASE)


def final_answer(text: str) -> str:
    """Return the part of an answer that states its result; the text itself if it is nothing but the result."""
    contents = boxes(text) if "box" in text else []
    if contents:
        return _joined(contents)
    text = text.strip()
    if text[:1].isalpha() or text[:1] in ("*", "#", "_", "="):
        text = _without_opening(text)
    if "$" not in text and "\\" not in text:
        return _from_words(text)
    if "$" in text:
        text = re.sub(r"(?<=[a-z])\$(\^\{?[23]\}?)\$", r"\1", text)  # cm$^2$
        text = re.sub(r"([-+*/=])\s*(?<!\\)\$\s*\$", r"\1 ", text)  # a formula that a line break cut in two
    formulas = [(match.start(), match.end(), _content(match)) for match in _FORMULA.finditer(text)]
    if not formulas:
        return _from_words(text)
    if len(formulas) == 1 and formulas[0][0] == 0 and formulas[0][1] >= len(text.rstrip(". ")):
        return text
    if _BETWEEN.fullmatch(_without(text, formulas)):
        return _joined(formulas_with_gaps(text, formulas))
    return _from_sentence(text, formulas)


def _without_opening(text: str) -> str:
    """Remove what may precede a result, such as ``The answer is``."""
    if text.startswith("**") and text.endswith("**"):
        text = text.strip("* ")
    if lead_in := _LEAD_IN.match(text):
        text = text[lead_in.end() :]
    return text[opening.end() :] if (opening := _OPENING.match(text)) else text


def boxes(text: str) -> list[tuple[str, str]]:
    r"""Return (text since the box before, content) of every complete ``\boxed{...}`` outside other boxes."""
    open_braces: list[tuple[int, int] | None] = []
    found: list[tuple[int, int, str]] = []
    for match in _BRACES.finditer(text):
        if match[1]:
            open_braces.append((match.start(), match.end()))
        elif match[2] == "{":
            open_braces.append(None)
        elif match[2] == "}" and open_braces and (box := open_braces.pop()):
            while found and found[-1][0] > box[0]:
                found.pop()
            found.append((box[0], match.end(), text[box[1] : match.start()].strip()))
    return formulas_with_gaps(text, found)


def formulas_with_gaps(text: str, spans: list[tuple[int, int, str]]) -> list[tuple[str, str]]:
    """Return (text since the span before, content) of each span (start, end, content)."""
    starts = [0, *(end for _, end, _ in spans)]
    return [(text[start : span[0]], span[2]) for start, span in zip(starts, spans, strict=False)]


def _joined(parts: list[tuple[str, str]]) -> str:
    """Join different contents by ``or``, ``and`` or a comma, as the text between them does."""
    result = ""
    seen: set[str] = set()
    for gap, content in parts:
        bare = re.sub(r"([-+*/=])\s*(?<!\\)\$\s*\$", r"\1 ", content).strip()
        if len(bare) > 2 and bare[0] == "$" and bare.endswith("$") and "$" not in bare[1:-1]:
            bare = bare[1:-1].strip()
        key = "".join(bare.split())
        if key in seen or not bare:
            continue
        seen.add(key)
        word = " or " if _OR.search(gap) else " and " if re.search(r"\band\b", gap) else ", "
        result = result + word + bare if result else bare
    return result


def _content(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None).strip()


def _without(text: str, formulas: list[tuple[int, int, str]]) -> str:
    return " ".join([gap for gap, _ in formulas_with_gaps(text, formulas)] + [text[formulas[-1][1] :]])


def _from_words(text: str) -> str:
    """Return the number or formula at the end of a sentence such as ``The value of x is 5``."""
    if not re.match(r"[A-Za-z]", text):
        return text
    verbs = list(_VERB.finditer(text))
    if not verbs:
        return text
    rest = text[verbs[-1].end() :].strip()
    return rest if _RESULT.match(rest) and not _hedged(text, verbs) else text


def _from_sentence(text: str, formulas: list[tuple[int, int, str]]) -> str:
    """Return what a sentence with formulas says: the formulas and numbers after its last verb, else all formulas."""
    outside = _masked(text, formulas)
    if _WITH_CONDITION.match(outside) and not _ALTERNATIVE.search(outside):
        return formulas[0][2]
    letters = re.match(r"[A-Za-z]", text) is not None
    if not letters and formulas[0][0] != 0:
        return text
    verbs = [verb for verb in _VERB.finditer(outside) if re.search(rf"[{_PLACE}\d]", outside[verb.end() :])]
    start = verbs[-1].end() if verbs else 0
    named = re.search(rf"[{_PLACE}\d]", outside[start:])
    if end := _SENTENCE_END.search(outside, start + (named.start() if named else 0)):
        clause = outside[start : end.start()]
    else:
        clause = outside[start:]
    clause_start = max((match.end() for match in _SENTENCE_END.finditer(outside, 0, start)), default=0)
    negated = _NEGATION.search(outside[clause_start : start + len(clause)]) or _COMPARISON.search(clause)
    if negated or _hedged(outside, verbs):
        return "".join(piece for piece in re.split(r"\$|\\[()\[\]]", text))
    if (condition := _CONDITION.search(clause)) and re.search(rf"[{_PLACE}\d]", clause[: condition.start()]):
        kept, dropped = clause[: condition.start()], clause[condition.start() :]
        clause = clause if _ALTERNATIVE.search(dropped) else kept
    return _values(text, formulas, start, clause)


def _values(text: str, formulas: list[tuple[int, int, str]], start: int, clause: str) -> str:
    spans = [span for span in formulas if start <= span[0] < start + len(clause)]
    spans += [(start + number.start(), start + number.end(), number[0]) for number in _PLAIN_NUMBER.finditer(clause)]
    spans.sort()
    if not spans:
        return clause.strip() if _RESULT.match(clause.strip()) else text
    joined = _joined(formulas_with_gaps(text, spans))
    tail = text[spans[-1][1] : start + len(clause)].strip(" .,\n")
    with_unit = f"{joined} {tail}"
    return with_unit if len(spans) == 1 and len(tail) < 40 and split_unit(with_unit)[1] not in (None, "?") else joined


def _masked(text: str, formulas: list[tuple[int, int, str]]) -> str:
    """Return the text with every character of a formula replaced, so that positions stay."""
    pieces: list[str] = []
    position = 0
    for start, end, _ in formulas:
        pieces += [text[position:start], _PLACE * (end - start)]
        position = end
    return "".join([*pieces, text[position:]])


def _hedged(text: str, verbs: list[re.Match[str]]) -> bool:
    """Return True if a sentence names two results: ``x is 5 or x is 6``, ``x is 5 and y is 6``."""
    between = text[verbs[0].end() : verbs[-1].start()] if len(verbs) > 1 else ""
    return _OR.search(between) is not None or re.search(rf"[{_PLACE}\d][^,.]*\band\b[^,.]*$", between) is not None
