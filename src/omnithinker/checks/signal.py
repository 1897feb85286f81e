"""Findings about learning from sampled completions: rewards that differ within groups, or the reason that none do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from omnithinker.config.rewards import RewardSettings
from omnithinker.rewards.answers import USUAL_MARKERS, AnswerSettings, answer_body
from omnithinker.types import RolloutGroup, Score

TRIED_PLACES = ("boxed", *USUAL_MARKERS, "last_number", "code_block", "tags", "text")
"""Places that are tried instead of those of a recipe, in order of preference."""
WARM_START = 'a warm start: a group [warmup], and for this task demonstration = "<answer>{answer}</answer>" or the like'
"""Remedy for a model that does not write the format, or too few right answers."""
Values = Sequence[Sequence[float | None]]
"""[P][G] values of completions, None where undefined."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Other places of the answer, and what they would give for the same completions."""

    component: str
    """Component of the task."""
    answer_from: tuple[str, ...]
    """Its places."""
    right: int
    """Completions whose value would be 1."""
    varying: int
    """Groups whose values would differ."""

    @property
    def setting(self) -> str:
        """The setting, as TOML."""
        return f"rewards.{self.component}.answer_from = {json.dumps(self.answer_from, ensure_ascii=False)}"


def varying(values: Values) -> int:
    """Count the groups whose defined values differ."""
    return sum(len({value for value in group if value is not None}) > 1 for group in values)


def count_right(values: Values) -> int:
    """Count the values equal to 1."""
    return sum(value == 1 for group in values for value in group)


def other_places(settings: RewardSettings) -> Iterator[tuple[str, ...]]:
    """Yield places to try for a component instead of its own: one more behind them, or before them.

    Judged components are left out, because trying costs calls.
    """
    if not isinstance(settings, AnswerSettings) or not settings.primary or settings.judges:
        return
    present = settings.answer_from
    others = [place for place in TRIED_PLACES if place not in present and place not in settings.unsuitable]
    if "text" not in present:
        yield from ((*present, place) for place in others)
    yield from ((place, *present) for place in others if place != "text")


def best_alternative(found: Sequence[Alternative], present: Values) -> Alternative | None:
    """Return the first alternative with the most varying groups and right completions, if it is clearly better.

    Args:
        found: Alternatives, in order of preference.
        present: Values of the component with its own places.
    """
    right, total = count_right(present), sum(map(len, present))
    better = [one for one in found if one.right >= max(right + 0.1 * total, 2 * right, 1)]
    return max(better, key=lambda one: (one.varying, one.right), default=None)


def findings(
    task: str,
    rewards: Mapping[str, RewardSettings],
    groups: Sequence[RolloutGroup],
    alternative: Alternative | None,
    limit: int,
) -> list[str]:
    """Return warnings about a task's samples, each one line: what is wrong, then what to do.

    Args:
        task: Name of the task.
        rewards: Settings of its components.
        groups: [P] scored groups.
        alternative: Better places of the answer, if any.
        limit: Token limit of a completion.
    """
    scores = [score for group in groups for score in group.scores]
    problem = _problem(scores, groups)
    lines = [problem] if problem else []
    if alternative is not None:
        groups_vary = f", and {alternative.varying} of {len(groups)} groups would vary"
        lines.append(
            f"set {alternative.setting}: {alternative.right} of {len(scores)} samples would be right{groups_vary}"
        )
    if problem and any(score.correct != 1 for score in scores):
        lines += _remedies(rewards, groups, limit, elsewhere=alternative is not None)
    return [f"tasks.{task}: {line}" for line in lines]


def _problem(scores: Sequence[Score], groups: Sequence[RolloutGroup]) -> str | None:
    """Return why nothing can be learnt from the samples, or only the format; None if there is no such reason."""
    rewards = {score.reward for score in scores if score.reward is not None}
    n = len(scores)
    if not rewards:
        causes = Counter(cause for score in scores for cause in score.causes.values())
        return f"none of {n} samples has a defined reward ({', '.join(f'{k} {cause}' for cause, k in causes.items())})"
    if max(rewards) <= 0:
        return f"none of {n} samples earns any reward, so nothing can be learnt"
    if all(score.correct in (1, None) for score in scores) and len(rewards) == 1:
        return f"all {n} samples earn the full reward, so nothing is left to learn; use harder rows"
    if len(rewards) == 1:
        return f"all {n} samples earn the same reward, {rewards.pop():g}, so nothing can be learnt"
    if not varying([[score.reward for score in group.scores] for group in groups]):
        return "no group has samples with different rewards, so nothing can be learnt"
    if not any(score.correct for score in scores):
        return f"none of {n} samples is right, so only the rewards that are not primary can be learnt"
    return None


def _remedies(
    rewards: Mapping[str, RewardSettings], groups: Sequence[RolloutGroup], limit: int, *, elsewhere: bool
) -> Iterator[str]:
    completions = [completion for group in groups for completion in group.trajectories]
    n, cut = len(completions), sum(completion.truncated for completion in completions)
    if cut >= n / 2:
        yield f"{cut} of {n} samples are cut off at {limit} tokens: raise max_new_tokens, or ask for short answers"
    if all(len({completion.text for completion in group.trajectories}) == 1 for group in groups):
        yield "the samples of every group are the same text: raise sampling.temperature"
    if elsewhere:
        return
    readers = [settings for settings in rewards.values() if isinstance(settings, AnswerSettings) and settings.primary]
    answered = [
        score.correct == 1
        for group in groups
        for completion, score in zip(group.trajectories, group.scores, strict=True)
        if any(reader.finder.find(completion.text) for reader in readers)
    ]
    formatted = any(answer_body(completion.text) is not None for completion in completions)
    if readers and not formatted and any(reader.answer_from[0] == "tags" for reader in readers):
        yield (
            "no sample has an <answer>, and no other place gives right answers: describe the format in the task's "
            f"prompt or system message, or use {WARM_START}"
        )
    elif readers and len(answered) >= n / 2:
        yield (
            f"{len(answered)} of {n} samples have an answer, {sum(answered) or 'none'} of them right: use easier rows, "
            f"more completions per prompt, or {WARM_START}"
        )
