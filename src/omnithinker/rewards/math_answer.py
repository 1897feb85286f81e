"""Reward for mathematical answers: equality with the gold answer."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar, Literal, Self

from omnithinker.rewards.answers import (
    IN_TAGS,
    NO_COMPLETION,
    AnswerFinder,
    AnswerSettings,
    in_completions,
    last_answer,
)
from omnithinker.rewards.base import Reward
from omnithinker.rewards.math_extract import final_answer
from omnithinker.rewards.math_forms import (
    align_lists,
    as_choice,
    as_words,
    condition,
    congruence,
    for_algebra,
    numbers_of,
    plain_text,
    ratio,
    set_in_symbols,
    split_assignment,
    word_list,
)
from omnithinker.rewards.math_intervals import align_inequalities
from omnithinker.rewards.math_pool import Equality, MathPool
from omnithinker.rewards.math_text import MAX_LENGTH, SIMPLE_NUMBER, as_number, balanced, normalize, too_complex
from omnithinker.rewards.math_units import split_unit
from omnithinker.rewards.probes import UNLIKELY_ANSWER, Probe, ProbeContext
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.row_fields import RowField
from omnithinker.types import Prompt, Trajectory, Undefined, Value

MAX_WORDS = 3
"""Maximum words of a gold answer in words without ``\\text``; a longer one is unparseable."""
_PARTIAL = re.compile(
    r"/(?!\s*[1-9])|\}\s*\{(?!\s*[1-9]\d*\s*\})|\\(?:log|lg|ln|tan|cot|sec|csc)(?![a-zA-Z])|\^\s*\{?\s*-|!|\\infty\s*[-+/]"
)
"""Operations that are undefined for some numbers; not the division by a positive number."""
_BASE = re.compile(r"[0-9A-Fa-f]+_\{?(\d+)\}?")
_CAUSES = {
    Equality.GOLD_UNPARSEABLE: "gold_unparseable",
    Equality.TIMEOUT: "verifier_timeout",
    Equality.CRASHED: "verifier_crashed",
}


def quick_verdict(gold: str, answer: str) -> Equality | tuple[str, str]:
    """Decide a normalized pair without computer algebra, if possible.

    Compared in this order: equal strings; numbers, exactly; letters of choices and words, as text; units; expressions
    that are too complex to compute; lists whose brackets differ in meaning.

    Returns:
        The verdict, or (gold, answer) rewritten for the verifier; both are the gold answer if only its value is in
        question.
    """
    if not gold:
        return Equality.GOLD_UNPARSEABLE
    verdict = Equality.EQUAL if gold == answer else _compare(gold, answer)
    if verdict is Equality.EQUAL and _may_lack_value(gold):
        return for_algebra(gold), for_algebra(gold)
    return verdict


def _may_lack_value(gold: str) -> bool:
    """Return True if algebra has to find out whether a gold answer has a value."""
    if _PARTIAL.search(gold) is None or as_number(gold.removesuffix("%")) is not None:
        return False
    return not too_complex(gold) and balanced(gold)


def _compare(gold: str, answer: str) -> Equality | tuple[str, str]:
    for compare in (_compare_numbers, _compare_words, _compare_congruences):
        verdict = compare(gold, answer)
        if verdict is not None:
            return verdict
    if len(gold) > MAX_LENGTH or len(answer) > MAX_LENGTH:
        return Equality.GOLD_UNPARSEABLE if len(gold) > MAX_LENGTH else Equality.DIFFERENT
    return _compare_forms(gold, answer)


def _compare_numbers(gold: str, answer: str) -> Equality | None:
    """Compare two numbers exactly; a percent sign may mean a hundredth or be omitted."""
    gold_number = as_number(gold.removesuffix("%"))
    answer_number = None if gold_number is None else as_number(answer.removesuffix("%"))
    if gold_number is None or answer_number is None:
        return None
    if gold_number == answer_number:
        return Equality.EQUAL
    if gold.endswith("%") == answer.endswith("%"):
        return Equality.DIFFERENT
    return _verdict(gold_number == 100 * answer_number if gold.endswith("%") else 100 * gold_number == answer_number)


def _compare_words(gold: str, answer: str) -> Equality | None:
    if plain_text(gold).split() == plain_text(answer).split():
        return Equality.EQUAL
    letter = as_choice(gold)
    if letter is not None:
        other = as_choice(answer)
        # A capital letter may also be a variable, so only longer answers are left to algebra.
        return _verdict(letter == (other or plain_text(answer).upper())) if len(plain_text(answer)) < 4 else None
    gold_words, answer_words = as_words(gold), as_words(answer)
    if gold_words is None:
        return None
    if gold_words == answer_words:
        return Equality.EQUAL
    if set_in_symbols(gold) != gold and answer_words is None:
        return None
    if answer_words and _word_list(gold) == _word_list(answer):
        return Equality.EQUAL
    if plain_text(gold) == gold and len(gold_words.split()) > MAX_WORDS:
        return Equality.GOLD_UNPARSEABLE
    return Equality.DIFFERENT


def _compare_congruences(gold: str, answer: str) -> Equality | None:
    """Compare congruences modulo their modulus; the modulus and the left side may be omitted."""
    ours, theirs = congruence(gold), congruence(answer)
    if ours is None and theirs is None:
        return None
    if ours is None or theirs is None:
        (_, residue, _), other = ours or theirs or (None, 0, 1), as_number(gold if ours is None else answer)
        return None if other is None else _verdict(other == residue)
    names = {ours[0], theirs[0]} - {None}
    return _verdict(len(names) < 2 and ours[2] == theirs[2] and (ours[1] - theirs[1]) % ours[2] == 0)


def _compare_forms(gold: str, answer: str) -> Equality | tuple[str, str]:
    """Compare units, assignments, lists and number bases, where algebra is too lenient."""
    gold, answer = set_in_symbols(gold), set_in_symbols(answer)
    if gold.replace(" ", "") == answer.replace(" ", "") and not re.search(r"\d \d", f"{gold};{answer}"):
        return Equality.EQUAL
    (gold, gold_unit), (answer, answer_unit) = split_unit(gold), split_unit(answer)
    if gold_unit and answer_unit and gold_unit != answer_unit and "?" not in (gold_unit, answer_unit):
        return Equality.DIFFERENT
    (gold_name, gold_value), (answer_name, answer_value) = split_assignment(gold), split_assignment(answer)
    if gold_name == answer_name or "=" not in gold or "=" not in answer:
        gold, answer = split_unit(gold_value)[0], split_unit(answer_value)[0]
    if gold == answer:
        return Equality.EQUAL
    verdict = _compare_numbers(gold, answer)
    if verdict is not None:
        return verdict
    if too_complex(gold) or not balanced(gold):
        return Equality.GOLD_UNPARSEABLE
    if too_complex(answer) or not balanced(answer):
        return Equality.DIFFERENT
    bases = [match[1] for text in (gold, answer) if (match := _BASE.fullmatch(text))]
    if len(set(bases)) > 1:
        return Equality.DIFFERENT
    pair = align_lists(*align_inequalities(*(ratio(condition(text)) for text in (gold, answer))))
    if pair is None:
        return Equality.DIFFERENT
    if pair[0] == pair[1]:
        return Equality.EQUAL
    verdict = _compare_number_lists(*pair)
    if verdict is not None:
        return verdict
    return for_algebra(pair[0]), for_algebra(pair[1])


def _compare_number_lists(gold: str, answer: str) -> Equality | None:
    """Compare two aligned sets, or two aligned tuples or intervals, of numbers exactly."""
    golds, answers = numbers_of(gold), numbers_of(answer)
    if golds is None or answers is None or (gold[0] + gold[-1] != answer[0] + answer[-1] and "\n" not in gold + answer):
        return None
    if "\n" in gold or "\n" in answer:
        return _verdict(set(golds) == set(answers))
    return _verdict(golds == answers)


def _word_list(text: str) -> list[str]:
    return word_list(plain_text(text).casefold())


def _verdict(same: bool) -> Equality:
    return Equality.EQUAL if same else Equality.DIFFERENT


class MathAnswer(Reward):
    """1 if the answer is mathematically equal to the row's ``answer``, else 0.

    A missing or unparseable answer scores 0. An unparseable gold answer, and a verifier that crashed or timed
    out, is undefined.

    Args:
        pool: Verifier processes; started when a pair first needs computer algebra.
        finder: Search for the answer.
        cache: Maximum number of decided (gold, answer) pairs to cache.
    """

    class Settings(AnswerSettings):
        """Settings of ``math_answer``."""

        kind: Literal["math_answer"] = "math_answer"

    row_fields = (RowField(("answer",), (str, int, float)),)
    missing_probe_notes: ClassVar = {"gold answer": NO_COMPLETION}

    @classmethod
    def build(cls, settings: Settings, place: str, resources: Resources) -> Self:
        """Create the reward with the verifier processes that all tasks share."""
        return cls(resources.shared("math_pool", MathPool), finder=settings.finder)

    @classmethod
    def probes(cls, row: Mapping[str, Any], context: ProbeContext) -> list[Probe]:
        """Return the gold answer, and a number that is provably different."""
        wrong = wrong_number(gold_text(row), [gold_text(other) for other in context.other_rows])
        gold = Probe("gold answer", gold_body(row), 1.0, "answer")
        return in_completions(context, [gold, Probe("wrong answer", wrong, 0.0, "answer")])

    def __init__(self, pool: MathPool, *, finder: AnswerFinder = IN_TAGS, cache: int = 65536) -> None:
        self._pool = pool
        self._finder = finder
        self._cache: OrderedDict[tuple[str, str], Equality] = OrderedDict()
        self._size = cache
        self._lock = threading.Lock()

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[Value]:
        """Return [G] values; undefined if the gold answer is unparseable or the verifier failed.

        Raises:
            RewardError: if the verifier cannot be started.
        """
        gold = gold_text(prompt.row)
        bodies = [self._finder.find(completion.text) for completion in completions]
        answers = [None if body is None else answer_text(body) for body in bodies]
        verdicts = self._decide(gold, {answer for answer in answers if answer})
        return [self._value(prompt, gold, answer, verdicts) for answer in answers]

    def _decide(self, gold: str, answers: set[str]) -> dict[str, Equality]:
        """Return the verdict of each distinct answer; the verifier works on them in parallel."""
        verdicts: dict[str, Equality] = {}
        pending: dict[str, Future[Equality]] = {}
        for answer in sorted(answers):
            verdict = self._cached(gold, answer) or quick_verdict(gold, answer)
            if isinstance(verdict, Equality):
                verdicts[answer] = verdict
            else:
                pending[answer] = self._pool.submit(*verdict)
        for answer, future in pending.items():
            verdicts[answer] = future.result()
            self._cache_verdict(gold, answer, verdicts[answer])
        return verdicts

    def _value(self, prompt: Prompt, gold: str, answer: str | None, verdicts: Mapping[str, Equality]) -> Value:
        if not gold:
            return Undefined("gold_unparseable", f"row {prompt.index} of {prompt.task!r} has an empty answer")
        if not answer:
            return 0.0
        verdict = verdicts[answer]
        if verdict in _CAUSES:
            return Undefined(_CAUSES[verdict], f"gold {gold[:80]!r}, answer {answer[:80]!r}")
        return float(verdict is Equality.EQUAL)

    def _cached(self, gold: str, answer: str) -> Equality | None:
        with self._lock:
            verdict = self._cache.get((gold, answer))
            if verdict is not None:
                self._cache.move_to_end((gold, answer))
            return verdict

    def _cache_verdict(self, gold: str, answer: str, verdict: Equality) -> None:
        # A failure of the verifier says nothing about the pair.
        if verdict in (Equality.TIMEOUT, Equality.CRASHED):
            return
        with self._lock:
            self._cache[gold, answer] = verdict
            while len(self._cache) > self._size:
                self._cache.popitem(last=False)


def gold_text(row: Mapping[str, Any]) -> str:
    """Return the row's normalized gold answer; of a worked solution, its ``<answer>``, box or ``####`` part."""
    return answer_text(gold_body(row))


def gold_body(row: Mapping[str, Any]) -> str:
    """Return the row's gold answer as a completion would write it between its ``<answer>`` tags."""
    raw = str(row["answer"])
    body = last_answer(raw)
    return raw.rpartition("####")[2] if body is None else body


def answer_text(body: str) -> str:
    """Return the normalized final answer in the body of an answer; only the end of a very long body is read."""
    text = body[-8 * MAX_LENGTH :].strip()
    return text if SIMPLE_NUMBER.fullmatch(text) else normalize(final_answer(text))


def wrong_number(gold: str, others: Sequence[str]) -> str:
    """Return the first of other rows' gold answers that is a different number, by exact arithmetic.

    A percent sign may mean a hundredth, so a hundredfold is not a different number. If there is no such answer, the
    gold number plus 1 is returned; if the gold answer is not a number, :data:`UNLIKELY_ANSWER`.
    """
    number = as_number(gold.removesuffix("%"))
    if number is None:
        return UNLIKELY_ANSWER
    equal = {number, number * 100, number / 100}
    for other in others:
        value = as_number(other.removesuffix("%"))
        if value is not None and value not in equal:
            return other
    return str(number + 1)
