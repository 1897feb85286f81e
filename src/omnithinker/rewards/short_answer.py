"""Reward for short text answers: equality with a reference answer after normalization (A.1, general QA)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from omnithinker.errors import DataError
from omnithinker.io.parsing import json_type
from omnithinker.rewards.answers import IN_TAGS, NO_COMPLETION, AnswerFinder, AnswerSettings, in_completions
from omnithinker.rewards.base import Reward
from omnithinker.rewards.probes import UNLIKELY_ANSWER, Probe, ProbeContext
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.row_fields import RowField
from omnithinker.types import Prompt, Trajectory, Undefined, Value

_QUOTES = {'"': '"', "'": "'", "«": "»", "$": "$", "`": "`", "*": "*"}
_TYPOGRAPHIC = str.maketrans(
    dict.fromkeys("“”„‟＂", '"')
    | dict.fromkeys("‘’‚‛′´＇", "'")
    | dict.fromkeys("‐‑‒–—―−﹣", "-")
    | {"″": "''", "。": ".", "｡": ".", "…": "...", "⁄": "/", "∕": "/"}
    | {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if chr(code) not in "＂＇"}
    # Zero-width characters, marks of direction, soft hyphens, variation selectors.
    | dict.fromkeys(
        [0xAD, 0xFEFF, 0xFE0E, 0xFE0F, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065)]
    )
)
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ]+")
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_COMMAND = re.compile(r"\\(?:boxed|fbox|text|textbf|textit|mathrm)\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_LABEL = re.compile(
    r"\**(?:option |choice )?[(\[]?([A-Z]|\d{1,2})(?:[)\]][.:]?|[.:]| -)\** *(.+)", re.IGNORECASE | re.DOTALL
)


def exact_form(text: str) -> str:
    """Return the text with single spaces."""
    return " ".join(text.split())


def normal_form(text: str) -> str:
    r"""Return a case-sensitive normal form.

    Typographic quotes, dashes and full-width characters become ASCII, superscripts become ``^2``, and invisible
    characters, ``\boxed{}``, final periods and enclosing quotes, ``$`` and the like are removed.
    """
    text = unicodedata.normalize("NFC", text).translate(_TYPOGRAPHIC)
    text = _SUPERSCRIPTS.sub(lambda match: "^" + unicodedata.normalize("NFKC", match[0]).replace("−", "-"), text)
    return _bare(" ".join(_FRACTION.sub(" ", text).split()))


def _bare(text: str) -> str:
    """Remove what encloses a text, by position: copies of a long text would take quadratic time."""
    start, end = 0, len(text)
    while True:
        before = start, end
        while end > start and text[end - 1] in ". ":
            end -= 1
        while start < end and text[start] == " ":
            start += 1
        if text.startswith("\\", start) and (command := _COMMAND.fullmatch(text, start, end)):
            start, end = command.span(1)
        elif end - start >= 2 and _QUOTES.get(text[start]) == text[end - 1]:
            start, end = start + 1, end - 1
        if (start, end) == before:
            return text[start:end]


def normalize_answer(text: str) -> str:
    """Return the folded form: the normal form with NFKC and case folding."""
    text = str(text)
    while True:
        before = text
        text = unicodedata.normalize("NFKC", normal_form(text)).casefold()
        if text == before:
            return text


FORMS = (exact_form, normal_form, normalize_answer)
"""Forms in which an answer is compared with options, from strict to lenient."""


class Options:
    """Options of a question: finds the one that a text names.

    A form is used only if the forms before it match no option. A form that several options share names none of them.
    """

    def __init__(self, options: Sequence[str]) -> None:
        labels = [_LABEL.fullmatch(option) for option in options]
        labelled = bool(options) and all(
            label is not None and _position(label[1]) == place for place, label in enumerate(labels)
        )
        # ``A) Paris`` in the list of options is the option ``Paris``.
        self._texts = [label[2] for label in labels if label] if labelled else list(options)
        self._places: list[dict[str, int | None]] = []
        for form in FORMS:
            places: dict[str, int | None] = {}
            for place, text in enumerate(map(form, self._texts)):
                places[text] = None if text in places else place
            self._places.append(places)

    def place(self, text: str) -> int | None:
        """Return the position of the option that a text names, with or without its letter; None if there is none."""
        known, place = self._find(text)
        label = None if known else _LABEL.fullmatch(normal_form(text))
        if label is None:
            return place
        _, place = self._find(label[2])
        return place if place == _position(label[1]) else None

    def _find(self, text: str) -> tuple[bool, int | None]:
        """Return (True if a form of the text occurs, position if it occurs once)."""
        for form, places in zip(FORMS, self._places, strict=True):
            key = form(text)
            if key and key in places:
                return True, places[key]
        return False, None


def _position(label: str) -> int:
    return int(label) - 1 if label.isdigit() else ord(label.upper()) - ord("A")


def written_answers(row: Mapping[str, Any]) -> list[str]:
    """Return the accepted answers of a row (``answers`` or ``answer``, text or list) as they are written."""
    value = row.get("answers", row.get("answer"))
    answers = value if isinstance(value, list | tuple) else [value]
    return [str(answer) for answer in answers if answer is not None]


def reference_answers(row: Mapping[str, Any]) -> list[str]:
    """Return the folded accepted answers of a row without empty ones."""
    return [text for answer in written_answers(row) if (text := normalize_answer(answer))]


def right_options(row: Mapping[str, Any], options: Options) -> set[int]:
    """Return the positions of the options that the accepted answers of a row name."""
    places = (options.place(answer) for answer in written_answers(row))
    return {place for place in places if place is not None}


class ShortAnswer(Reward):
    """1 if the answer is one of the row's reference answers, else 0.

    Row fields: ``answer`` or ``answers``, and ``options`` if the prompt lists some. With options, the answer must match
    exactly one of them; its letter or number before it (``A) Paris``) must agree. The letter alone is not an answer,
    unless it is the option's text.

    Args:
        finder: Search for the answer.
    """

    class Settings(AnswerSettings):
        """Settings of ``short_answer``."""

        kind: Literal["short_answer"] = "short_answer"

    row_fields = (RowField(("answer", "answers"), (str, int, float, list)),)
    missing_probe_notes: ClassVar = {"gold answer": NO_COMPLETION}

    @classmethod
    def build(cls, settings: Settings, place: str, resources: Resources) -> Self:
        """Create the reward."""
        return cls(settings.finder)

    @classmethod
    def check_row(cls, row: Mapping[str, Any], place: str) -> None:
        """Check the answers and the options, and that an answer is one of the options."""
        super().check_row(row, place)
        for name in ("answer", "answers", "options"):
            value = row.get(name)
            if name == "options" and not isinstance(value, list | None):
                raise DataError(f"{place}: field 'options' must be a list, got {json_type(value)}")
            for entry in value if isinstance(value, list) else ():
                if not isinstance(entry, str | int | float) or isinstance(entry, bool):
                    raise DataError(f"{place}: field {name!r}: entries must be text or numbers, got {json_type(entry)}")
                if not str(entry).strip():
                    raise DataError(f"{place}: field {name!r} has an empty entry")
        (verdict,) = cls().score_group(Prompt(task="", index=0, text="", row=row), [Trajectory(text="")])
        if isinstance(verdict, Undefined):
            field = "answers" if "answers" in row else "answer"
            cause = verdict.cause.replace("_", " ")
            raise DataError(f"{place}: field {field!r}: no completion could be right ({cause})")

    @classmethod
    def probes(cls, row: Mapping[str, Any], context: ProbeContext) -> list[Probe]:
        """Return the accepted and the other options; without options, the accepted answers and another row's answer."""
        field = "answers" if "answers" in row else "answer"
        options = [str(option) for option in row.get("options") or ()]
        right = right_options(row, Options(options))
        answers = [option for place, option in enumerate(options) if place in right] or written_answers(row)
        probes = [Probe("gold answer", answer, 1.0, field) for answer in answers]
        if options:
            wrong = [option for place, option in enumerate(options) if place not in right]
            probes += [Probe("other option", option, 0.0, "options") for option in wrong]
        else:
            accepted = reference_answers(row)
            wrong_answers = (
                answer for other in context.other_rows for answer in reference_answers(other) if answer not in accepted
            )
            probes.append(Probe("wrong answer", next(wrong_answers, UNLIKELY_ANSWER), 0.0, field))
        return in_completions(context, probes)

    def __init__(self, finder: AnswerFinder = IN_TAGS) -> None:
        self._finder = finder

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[Value]:
        """Return [G] values; undefined if no answer could be right for the row.

        Causes: ``gold_missing`` if the row has no reference answer; ``gold_not_among_options`` if no reference answer
        names exactly one of the options.
        """
        references = reference_answers(prompt.row)
        texts = [str(option) for option in prompt.row.get("options") or ()]
        options = Options(texts)
        right = right_options(prompt.row, options)
        cause = "gold_missing" if not references else "gold_not_among_options" if texts and not right else None
        if cause is not None:
            return [Undefined(cause, f"row {prompt.index} of {prompt.task!r}") for _ in completions]
        bodies = [self._finder.find(completion.text) for completion in completions]
        if texts:
            return [float(body is not None and options.place(body) in right) for body in bodies]
        return [float(body is not None and normalize_answer(body) in references) for body in bodies]
