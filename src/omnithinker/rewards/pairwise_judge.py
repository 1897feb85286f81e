"""Reward for open-ended writing: a judge's preference between the completion and a reference text (A.1, A.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from omnithinker.errors import JudgeError
from omnithinker.judge.base import Judge, Verdict
from omnithinker.rewards.answers import NO_COMPLETION, AnswerFinder, AnswerPlaces, AnswerSettings, in_completions
from omnithinker.rewards.base import Reward, gather_all
from omnithinker.rewards.probes import Probe, ProbeContext
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.row_fields import RowField
from omnithinker.types import CANDIDATE_CHARS, REFERENCE_CHARS, Prompt, RewardOutput, Trajectory, Undefined, Value

Order = Literal["random", "both", "fixed"]
CANDIDATE_PLACES = ("tags", "text")
"""Default places of the candidate."""
CANDIDATE = AnswerFinder(CANDIDATE_PLACES, verbatim=True)
NONSENSE = "..."
"""Probe that no judge should prefer to a reference."""


def candidate_first(seed: int) -> bool:
    """Return True if the candidate is shown first: a fair coin, as a pure function of the sample's seed."""
    mixed = (seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    return bool((mixed ^ (mixed >> 31)) >> 63)


class PairwiseJudge(Reward):
    """1 if the judge prefers the candidate to the reference, 0.5 for a tie, 0 if it prefers the reference.

    The candidate is the answer: by default the last ``<answer>`` body, or the text without its ``<think>`` part if
    there is none. An empty or missing candidate scores 0 without a call. Row fields: ``reference``, and ``prompt`` if
    the request differs from the prompt's text.

    Args:
        judge: Compares the texts.
        order: Text shown first: by the sample's seed (``random``), both orders with disagreement counted as a tie
            (``both``, two calls), or always the candidate (``fixed``).
        finder: Search for the candidate.
    """

    class Settings(AnswerSettings):
        """Settings of ``pairwise_judge``."""

        verbatim: ClassVar[bool] = True
        unsuitable: ClassVar[frozenset[str]] = frozenset({"last_number"})

        kind: Literal["pairwise_judge"] = "pairwise_judge"
        answer_from: AnswerPlaces = CANDIDATE_PLACES
        judge: str = "default"
        """Name of the recipe's judge that compares the texts."""
        order: Order = "random"
        """Text shown first: ``random`` by the sample's seed, ``both`` for two calls with disagreement counted as a tie,
        ``fixed`` for always the candidate."""

        @property
        def judges(self) -> tuple[str, ...]:
            """The judge that compares the texts."""
            return (self.judge,)

        @property
        def judge_calls(self) -> int:
            """One call, or two if both orders are compared."""
            return 2 if self.order == "both" else 1

    row_fields = (RowField(("reference",), (str,)),)
    missing_probe_notes: ClassVar = {"reference itself": NO_COMPLETION}

    @classmethod
    def build(cls, settings: Settings, place: str, resources: Resources) -> Self:
        """Create the reward with the judge that the settings name."""
        return cls(resources.judge(settings.judge), settings.order, settings.finder)

    @classmethod
    def probes(cls, row: Mapping[str, Any], context: ProbeContext) -> list[Probe]:
        """Return the reference, for which any verdict will do, and a text without words."""
        reference = Probe("reference itself", str(row["reference"]), None, "reference")
        return in_completions(context, [reference, Probe("nonsense", NONSENSE, 0.0, "reference")])

    def __init__(self, judge: Judge, order: Order = "random", finder: AnswerFinder = CANDIDATE) -> None:
        self._judge = judge
        self._order = order
        self._finder = finder

    async def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[RewardOutput]:
        """Compare all completions concurrently; see :meth:`GroupScorer.score_group`.

        Returns:
            [G] values, undefined if the judge returned no usable verdict. The details are the lengths of both texts in
            characters, because judges tend to prefer long texts.
        """
        return await gather_all(self._score_with_lengths(prompt, completion) for completion in completions)

    async def _score_with_lengths(self, prompt: Prompt, completion: Trajectory) -> RewardOutput:
        candidate = (self._finder.find(completion.text) or "").strip()
        value = await self._score(prompt, completion, candidate)
        lengths = {CANDIDATE_CHARS: len(candidate), REFERENCE_CHARS: len(str(prompt.row["reference"]))}
        return RewardOutput(value, lengths)

    async def _score(self, prompt: Prompt, completion: Trajectory, candidate: str) -> Value:
        if not candidate:
            return 0.0
        try:
            if self._order == "both":
                first, second = await gather_all(
                    self._compare(prompt, candidate, completion.seed, shown_first) for shown_first in (True, False)
                )
                return first if first == second else 0.5
            shown_first = self._order == "fixed" or candidate_first(completion.seed)
            return await self._compare(prompt, candidate, completion.seed, shown_first)
        except JudgeError as error:
            return Undefined(getattr(error, "cause", "judge_failed"), str(error))

    async def _compare(self, prompt: Prompt, candidate: str, seed: int, first: bool) -> float:
        reference = str(prompt.row["reference"])
        verdict = await self._judge.compare(
            request=_request(prompt),
            answer_a=candidate if first else reference,
            answer_b=reference if first else candidate,
            row=prompt.row,
            trial=seed,
        )
        if verdict is Verdict.TIE:
            return 0.5
        return float((verdict is Verdict.A) == first)


def _request(prompt: Prompt) -> str:
    """Return the row's ``prompt`` if it is text, else the last user message."""
    text = prompt.row.get("prompt")
    return text if isinstance(text, str) else prompt.text
