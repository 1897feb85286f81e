"""Reward for open-ended writing: a judge's preference against the row's reference text (A.1, A.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from omnithinker.errors import JudgeError
from omnithinker.judge.base import Judge, Verdict
from omnithinker.rewards.answers import candidate_text
from omnithinker.rewards.base import all_of
from omnithinker.types import CANDIDATE_CHARS, REFERENCE_CHARS, Prompt, RewardOutput, Trajectory, Undefined, Value

Order = Literal["random", "both", "fixed"]


def candidate_first(seed: int) -> bool:
    """Whether the candidate is shown first; a fair coin that is a pure function of the sample seed."""
    mixed = (seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    return bool((mixed ^ (mixed >> 31)) >> 63)


class PairwiseJudge:
    """1 if the judge prefers the candidate to the reference, 0.5 for a tie, 0 if it prefers the reference.

    The candidate is the last ``<answer>`` body, or else the text without its ``<think>`` part; an empty one scores
    0 without a call. Fields: ``reference``, and ``prompt`` if the request differs from the prompt's text.

    Args:
        judge: who compares.
        order: which text is shown first: by the sample's seed (``random``), both ways with disagreement counted as
            a tie (``both``, two calls), or always the candidate (``fixed``).
    """

    def __init__(self, judge: Judge, order: Order = "random") -> None:
        self._judge = judge
        self._order = order

    async def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[RewardOutput]:
        """[G] values, judged side by side; undefined where the judge gave no usable verdict.

        Each comes with the lengths of what was compared, characters, because judges like long texts.
        """
        return await all_of(self._explained(prompt, completion) for completion in completions)

    async def _explained(self, prompt: Prompt, completion: Trajectory) -> RewardOutput:
        candidate = candidate_text(completion.text)
        value = await self._score(prompt, completion, candidate)
        lengths = {CANDIDATE_CHARS: len(candidate), REFERENCE_CHARS: len(str(prompt.row["reference"]))}
        return RewardOutput(value, lengths)

    async def _score(self, prompt: Prompt, completion: Trajectory, candidate: str) -> Value:
        if not candidate:
            return 0.0
        try:
            if self._order == "both":
                first, second = await all_of(
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
            request=str(prompt.row.get("prompt", prompt.text)),
            answer_a=candidate if first else reference,
            answer_b=reference if first else candidate,
            row=prompt.row,
            trial=seed,
        )
        if verdict is Verdict.TIE:
            return 0.5
        return float((verdict is Verdict.A) == first)
