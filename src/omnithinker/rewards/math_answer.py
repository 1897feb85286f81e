"""Reward for mathematical answers: is the last ``<answer>`` body equal to the gold answer?"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from omnithinker.rewards.answers import last_answer
from omnithinker.rewards.math_pool import Equality, MathPool
from omnithinker.rewards.math_text import MAX_WORDS, as_number, as_words, normalise, too_complex
from omnithinker.types import Completion, Prompt, Undefined, Value

_CAUSES = {
    Equality.GOLD_UNPARSEABLE: "gold_unparseable",
    Equality.TIMEOUT: "verifier_timeout",
    Equality.CRASHED: "verifier_crashed",
}


def quick_verdict(gold: str, answer: str) -> Equality | None:
    """Decide a normalised pair without computer algebra, or return None.

    In order: equal strings; both numbers, compared exactly; both words, compared as text; expressions that are
    too complex to compute.
    """
    if not gold:
        return Equality.GOLD_UNPARSEABLE
    if gold == answer:
        return Equality.EQUAL
    if not answer:
        return Equality.DIFFERENT
    gold_number, answer_number = as_number(gold), as_number(answer)
    if gold_number is not None and answer_number is not None:
        return Equality.EQUAL if gold_number == answer_number else Equality.DIFFERENT
    gold_words = as_words(gold)
    if gold_words is not None:
        return _compare_words(gold, gold_words, as_words(answer))
    if too_complex(gold):
        return Equality.GOLD_UNPARSEABLE
    if too_complex(answer):
        return Equality.DIFFERENT
    return None


def _compare_words(gold: str, gold_words: str, answer_words: str | None) -> Equality:
    if gold_words == answer_words:
        return Equality.EQUAL
    if "\\" not in gold and len(gold_words.split()) > MAX_WORDS:
        return Equality.GOLD_UNPARSEABLE
    return Equality.DIFFERENT


class MathAnswer:
    """1 if the answer is mathematically equal to the row's ``answer``, else 0.

    No ``<answer>``, or one that says nothing that can be parsed, is 0. A gold answer that cannot be parsed, and a
    verifier that crashed or ran out of time, is undefined.

    Args:
        pool: the verifier processes; started only when a pair needs computer algebra.
        cache: how many decided (gold, answer) pairs are remembered.
    """

    def __init__(self, pool: MathPool, *, cache: int = 65536) -> None:
        self._pool = pool
        self._cache: OrderedDict[tuple[str, str], Equality] = OrderedDict()
        self._size = cache
        self._lock = threading.Lock()

    def score_group(self, prompt: Prompt, completions: Sequence[Completion]) -> list[Value]:
        """[G] values; fails of the gold answer or of the verifier are undefined.

        Raises:
            RewardError: the verifier cannot be started.
        """
        gold = gold_text(prompt.row)
        bodies = [last_answer(completion.text) for completion in completions]
        answers = [None if body is None else normalise(body) for body in bodies]
        verdicts = self._decide(gold, {answer for answer in answers if answer})
        return [self._value(prompt, gold, answer, verdicts) for answer in answers]

    def _decide(self, gold: str, answers: set[str]) -> dict[str, Equality]:
        """Verdict per distinct answer; those that need computer algebra are worked on side by side."""
        verdicts: dict[str, Equality] = {}
        waiting: dict[str, Future[Equality]] = {}
        for answer in sorted(answers):
            verdict = self._remembered(gold, answer) or quick_verdict(gold, answer)
            if verdict is None:
                waiting[answer] = self._pool.submit(gold, answer)
            else:
                verdicts[answer] = verdict
        for answer, future in waiting.items():
            verdicts[answer] = future.result()
            self._remember(gold, answer, verdicts[answer])
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

    def _remembered(self, gold: str, answer: str) -> Equality | None:
        with self._lock:
            verdict = self._cache.get((gold, answer))
            if verdict is not None:
                self._cache.move_to_end((gold, answer))
            return verdict

    def _remember(self, gold: str, answer: str, verdict: Equality) -> None:
        # Failures of the machinery are not facts about the pair.
        if verdict in (Equality.TIMEOUT, Equality.CRASHED):
            return
        with self._lock:
            self._cache[gold, answer] = verdict
            while len(self._cache) > self._size:
                self._cache.popitem(last=False)


def gold_text(row: Mapping[str, Any]) -> str:
    """The row's gold answer, normalised; a worked solution is reduced to its ``<answer>``, box or ``####`` part."""
    raw = str(row["answer"])
    body = last_answer(raw)
    if body is None:
        body = raw.rpartition("####")[2]
    return normalise(body)
