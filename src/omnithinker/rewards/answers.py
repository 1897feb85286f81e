"""Search for the answer of a completion: the setting ``answer_from`` of every reward that reads one.

Completions are hostile: every search takes linear time, or reads a bounded part of the text.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, field_validator

from omnithinker.config.registry import nearest
from omnithinker.config.rewards import RewardSettings
from omnithinker.rewards.math_extract import boxes
from omnithinker.rewards.probes import Probe, ProbeContext, fenced, formatted

PLACES = ("tags", "boxed", "last_number", "code_block", "text")
"""Places without an argument."""
AFTER, REGEX = "after:", "regex:"
"""Beginnings of places with an argument: a marker, a regular expression."""
REGEX_READS = 8_000
"""Characters at the end of a text that a regular expression reads: all its matches take quadratic time together."""
_NUMBER = re.compile(
    r"""(?<![\w^])(?<![0-9]\.)                                        # not within a word, an exponent or a version
    (?P<sign>(?<![)\]}])[-+−])?\\?\$?                                # a sign is no sign after an operand
    (?P<number>
        \\[dt]?frac\s*\{\s*[-−]?[0-9]+\s*\}\s*\{\s*[0-9]+\s*\}
        | (?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?  # 1,234.5
          (?:/[0-9]+|e[-+]?[0-9]+(?!\w))?                           # 3/4, 1e-3
        | (?<!\.)\.[0-9]+
    )(?P<percent>\s?\\?%)?""",
    re.VERBOSE,
)
_FENCE = re.compile(r"^[ \t]*```[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_PYTHON = ("", "python", "python3", "py")
_AROUND = " \t\r*_:"
"""Decoration of a line behind a marker: ``**Answer:** 42``."""

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


def python_blocks(text: str) -> list[str] | None:
    """Return the fenced blocks that are marked as Python or not marked; None if the text has no block at all.

    A block without a closing fence ends with the text.
    """
    fences = _FENCE.findall(text)
    return [block for language, block in fences if language.lower() in _PYTHON] if fences else None


def last_block(text: str) -> str | None:
    """Return the last fenced block that is marked as Python or not marked; None if there is none."""
    blocks = python_blocks(text)
    return blocks[-1] if blocks else None


def last_number(text: str) -> str | None:
    r"""Return the last number in a text, with sign and percent: ``-5``, ``1,234.5``, ``3/4``, ``\frac{3}{4}``.

    Commas that group thousands stay, a currency's ``$`` does not. Digits within words and exponents are no numbers.
    """
    matches = deque(_NUMBER.finditer(text), maxlen=1)
    if not matches:
        return None
    last = matches[0]
    return (last["sign"] or "") + last["number"] + ("%" if last["percent"] else "")


def last_box(text: str) -> str | None:
    r"""Return the content of the last complete ``\boxed{...}`` that is in no other one."""
    found = boxes(text)
    return found[-1][1] if found else None


def after_marker(text: str, marker: str, *, verbatim: bool) -> str | None:
    """Return what follows the last occurrence of a marker, whose case does not matter; None if nothing does.

    Args:
        text: Text to search.
        marker: Text before the answer, such as ``####``.
        verbatim: True for all that follows; False for its first line with words, without asterisks around it.
    """
    matches = deque(re.finditer(re.escape(marker), text, re.IGNORECASE), maxlen=1)
    if not matches:
        return None
    rest = text[matches[0].end() :]
    if verbatim:
        return rest if rest.strip() else None
    lines = (line.strip(_AROUND) for line in rest.splitlines())
    return next((line for line in lines if line), None)


def last_match(text: str, expression: str) -> str | None:
    """Return the first group of the last match of a regular expression in the end of a text; None if there is none."""
    # A lone surrogate cannot be encoded for the engine.
    tail = text[-REGEX_READS:].encode("utf-8", "replace").decode()
    found = [match[1] for match in _compiled(expression).finditer(tail) if match[1] is not None]
    return found[-1] if found else None


@lru_cache(maxsize=256)
def _compiled(expression: str) -> Any:
    """Compile an expression for RE2, whose searches take linear time.

    Raises:
        ValueError: if the expression is unusable or RE2 is not installed.
    """
    try:
        import re2
    except ImportError:
        raise ValueError("a regular expression needs google-re2: pip install 'omnithinker[regex]'") from None
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(
            f"the regular expression {expression!r} is not valid: {reason} (syntax: RE2, which has neither "
            "look-around nor back-references)"
        ) from None
    if not compiled.groups:
        raise ValueError(f"the regular expression {expression!r} has no group; put the answer in (...)")
    return compiled


@dataclass(frozen=True, slots=True)
class AnswerFinder:
    """Search for the answer of a completion in several places."""

    places: tuple[str, ...] = ("tags",)
    """Places in order of preference, as in the setting ``answer_from``."""
    verbatim: bool = False
    """True for programs and prose: white space around the answer, and all lines behind a marker, are part of it."""

    def find(self, text: str) -> str | None:
        """Return the answer in the first place that the completion has; None if it has none of them."""
        return self.find_with_place(text)[0]

    def find_with_place(self, text: str) -> tuple[str | None, str | None]:
        """Return (answer, its place); (None, None) if the completion has none of the places."""
        visible = None
        for place in self.places:
            if place == "tags":
                body = answer_body(text)
            else:
                visible = strip_think(text) if visible is None else visible
                body = self._find_in(visible, place)
            if body is not None:
                return body if self.verbatim else body.strip(), place
        return None, None

    def _find_in(self, visible: str, place: str) -> str | None:
        if place.startswith(AFTER):
            return after_marker(visible, place.removeprefix(AFTER), verbatim=self.verbatim)
        if place.startswith(REGEX):
            return last_match(visible, place.removeprefix(REGEX))
        return _SEARCHES[place](visible)

    def completion_with(self, answer: str, *, program: bool = False) -> str | None:
        """Write a completion with this answer for a probe.

        A place with a regular expression has no known form, so usual ones are tried.

        Args:
            answer: The answer.
            program: True if it is a program, which is written in a fenced block.

        Returns:
            The first form in which exactly this answer is found, else the first in which any is found, else the form
            of the first place; None if that is a regular expression.
        """
        own = [text for place in self.places if (text := _written(place, answer, program)) is not None]
        usual = [_written(place, answer, program) for place in ("tags", "boxed", *USUAL_MARKERS, "code_block", "text")]
        found_any = None
        for text in [*own, *(text for text in usual if text is not None)]:
            found = self.find(text)
            if found is not None and found.split() in (answer.split(), fenced(answer).split()):
                return text
            found_any = found_any or (text if found is not None else None)
        return found_any or (own[0] if own else None)


IN_TAGS = AnswerFinder()
"""The default: the last ``<answer>`` body."""


_SEARCHES: dict[str, Callable[[str], str | None]] = {
    "boxed": last_box,
    "last_number": last_number,
    "code_block": last_block,
    "text": str,
}
USUAL_MARKERS = ("after:####", "after:Answer:", "after:answer is")
"""Markers that models use by themselves or data sets ask for."""


def _written(place: str, answer: str, program: bool) -> str | None:
    """Return a completion with an answer at a place; None for a regular expression."""
    body = fenced(answer) if program else answer
    line = body if program else " ".join(body.split())
    if place == "tags":
        return formatted(body)
    if place.startswith(AFTER):
        return f"<think> so </think> {place.removeprefix(AFTER)} {line}"
    forms = {"boxed": rf"\boxed{{{answer}}}", "last_number": f"It is {answer}", "text": body}
    forms["code_block"] = fenced(answer)
    return f"<think> so </think> {forms[place]}" if place in forms else None


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


AnswerPlaces = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
"""Places in order of preference; one alone may be given as text."""


class AnswerSettings(RewardSettings):
    """Settings of a reward that reads the answer of a completion."""

    answer_from: AnswerPlaces = ("tags",)
    """Place of the answer, or a list of places in order of preference: ``tags`` (the last ``<answer>`` body), ``boxed``
    (the last ``\\boxed{}``), ``after:MARKER`` (what follows the last marker), ``last_number``, ``regex:EXPRESSION``
    (the first group of its last match), ``code_block`` (the last fenced block), ``text`` (all). All but ``tags`` ignore
    thinking."""

    verbatim: ClassVar[bool] = False
    """See :attr:`AnswerFinder.verbatim`."""
    unsuitable: ClassVar[frozenset[str]] = frozenset()
    """Places that make no sense for this reward."""

    @field_validator("answer_from")
    @classmethod
    def _usable(cls, places: tuple[str, ...]) -> tuple[str, ...]:
        if not places:
            raise ValueError("needs at least one place, such as 'tags'")
        for place in places:
            cls._check_place(place)
        if "text" in places[:-1]:
            raise ValueError("a place behind 'text' is never reached; put 'text' last")
        return places

    @classmethod
    def _check_place(cls, place: str) -> None:
        suitable = cls.suitable_places()
        if place.startswith(REGEX):
            _compiled(place.removeprefix(REGEX))
        elif place.startswith(AFTER):
            if not place.removeprefix(AFTER).strip():
                raise ValueError(f"{place!r} names no marker; write it behind the colon, such as 'after:####'")
        elif place in cls.unsuitable:
            raise ValueError(f"{place!r} makes no sense for this reward; known: {', '.join(suitable)}")
        elif place not in PLACES:
            raise ValueError(f"no place {place!r}{nearest(place, suitable)}")

    @classmethod
    def suitable_places(cls) -> list[str]:
        """Return the places that the reward accepts; those with an argument have a placeholder."""
        return [place for place in PLACES if place not in cls.unsuitable] + ["after:MARKER", "regex:EXPRESSION"]

    @property
    def finder(self) -> AnswerFinder:
        """Search in the places of the settings."""
        return AnswerFinder(self.answer_from, self.verbatim)


def in_completions(context: ProbeContext, probes: Iterable[Probe], *, program: bool = False) -> list[Probe]:
    """Return probes whose texts are answers with these texts as completions that the component's settings understand.

    Probes for which no such completion is known are left out.
    """
    settings: AnswerSettings = context.settings
    written = ((probe, settings.finder.completion_with(probe.text, program=program)) for probe in probes)
    return [replace(probe, text=text) for probe, text in written if text is not None]


NO_COMPLETION = "not tried: no completion is known in which answer_from finds an answer; use check --generate or score"
"""Note of ``check`` on a reward whose probes cannot be written."""


def answer_record(rewards: Mapping[str, RewardSettings], text: str) -> dict[str, str | None]:
    """Return ``{"answer": answer}`` as a task's first reward that reads one finds it; empty if no reward reads one.

    Args:
        rewards: Settings of the task's components.
        text: The completion.
    """
    found = found_answers(rewards, text)
    return {"answer": next(iter(found.values()))} if found else {}


def found_answers(rewards: Mapping[str, RewardSettings], text: str) -> dict[str, str | None]:
    """Return the answer that each of a task's rewards finds in a completion, by component; None where it finds none.

    Rewards that read no answer are left out. Arguments as :func:`answer_record`.
    """
    return {
        name: settings.finder.find(text) for name, settings in rewards.items() if isinstance(settings, AnswerSettings)
    }


def gold_of(row: Mapping[str, Any]) -> str | None:
    """Return the gold answers of a row, for people: of a worked solution the part behind ``####``; None without any."""
    value = row.get("answers", row.get("answer"))
    if value is None:
        return None
    answers = value if isinstance(value, list) else [value]
    return " | ".join(str(answer).rpartition("####")[2].strip() for answer in answers)
