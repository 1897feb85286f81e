"""The vocabulary of the whole program: small frozen records, one sentence with unit or shape per field.

Letters used everywhere: K tasks, P prompts in a step, G completions per prompt, T tokens, V vocabulary;
i is the evaluated task, j the trained task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One row of a task's data, rendered for the policy."""

    task: str
    """Name of the task the row belongs to."""
    index: int
    """Position of the row in its split, from 0."""
    text: str
    """The last user message, before the chat template."""
    token_ids: tuple[int, ...] = ()
    """[T] the prompt as the policy sees it, chat template and generation prompt included."""
    messages: tuple[Mapping[str, str], ...] = ()
    """Messages that the chat template renders, ``{"role", "content"}``; the last one is the user's ``text``."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """The whole data row: gold answer, tests, reference ... Never shown to the policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The tokens that follow a prompt: actions of the policy and, over several turns, observations between them.

    In a single turn every token is an action. Only actions are trained on and counted in metrics.

    Raises:
        ValueError: if a field has another length than ``token_ids``, or an action is not attended to.
    """

    text: str
    """Decoded completion, without the end token."""
    token_ids: tuple[int, ...] = ()
    """[T] all tokens after the prompt, end tokens included."""
    attention_mask: tuple[bool, ...] = None  # type: ignore[assignment]
    """[T] True at tokens that later tokens attend to; all by default."""
    action_mask: tuple[bool, ...] = None  # type: ignore[assignment]
    """[T] True at tokens that the policy chose, False at observations such as a tool's answer; True by default."""
    logprobs: tuple[float, ...] = ()
    """[T] log-probability of each action at the training temperature, before top-k and top-p (nats); empty if the
    generator reports none, any value at observations."""
    entropies: tuple[float, ...] | None = None
    """[T] entropy of the full-vocabulary distribution each action was sampled from (nats); None if the generator
    reports none, any value at observations."""
    truncated: bool = False
    """True if the token limit was reached before an end token."""
    seed: int = 0
    """Seed of this sample: fixes its random numbers and the order of a judged pair."""

    def __post_init__(self) -> None:
        every = (True,) * len(self.token_ids)
        for name in ("attention_mask", "action_mask"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, every)
        for name in ("attention_mask", "action_mask", "logprobs", "entropies"):
            values = getattr(self, name)
            if values and len(values) != len(self.token_ids):
                raise ValueError(f"{name} has {len(values)} values for {len(self.token_ids)} tokens")
        if any(action and not seen for action, seen in zip(self.action_mask, self.attention_mask, strict=True)):
            raise ValueError("attention_mask is False at an action")

    @property
    def length(self) -> int:
        """Number of actions: the completion length of metrics and losses (tokens)."""
        return sum(self.action_mask)

    @property
    def mean_entropy(self) -> float | None:
        """Inner mean of Eq. 11: entropy per action (nats); None if the generator reports none, or without actions."""
        if self.entropies is None or not self.length:
            return None
        return sum(self.actions(self.entropies)) / self.length

    def actions(self, values: Sequence[float]) -> list[float]:
        """Select from [T] values those at actions."""
        return [value for value, action in zip(values, self.action_mask, strict=True) if action]


@dataclass(frozen=True, slots=True)
class Undefined:
    """A reward component that could not be determined: neither a number nor an error to stop for."""

    cause: str
    """Short stable identifier counted in metrics, such as ``gold_unparseable`` or ``sandbox_error``."""
    detail: str = ""
    """One line for people; never holds a secret."""


Value = float | Undefined
"""Value of a reward component for one completion."""


@dataclass(frozen=True, slots=True)
class RewardOutput:
    """The value of a component with an explanation for people who inspect rewards."""

    value: Value | None
    """Value; None for undefined, as functions written for other trainers return it."""
    details: Mapping[str, Any]
    """JSON data."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Metrics of the component, averaged over the step's completions."""


CANDIDATE_CHARS, REFERENCE_CHARS = "candidate_chars", "reference_chars"
"""Details of a component that compares two texts: their lengths, characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The reward of one completion with its breakdown."""

    reward: float | None
    """Weighted sum over the defined components; None when no primary component is defined."""
    components: Mapping[str, float | None]
    """Value of every component, unweighted; None where undefined."""
    causes: Mapping[str, str] = field(default_factory=dict)
    """Cause per undefined component."""
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Explanation per component that gives one, JSON data."""
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Metrics per component that reports some."""
    correct: float | None = None
    """Mean of the defined primary components, in [0, 1]: the task's accuracy on this completion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutGroup:
    """A prompt with its G completions and, once scored, their G scores."""

    prompt: Prompt
    trajectories: tuple[Trajectory, ...]
    """[G]"""
    scores: tuple[Score, ...] = ()
    """[G], empty until scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalResult:
    """Evaluation of a model on the held-out items of one task."""

    task: str
    """Name of the task."""
    n: int
    """Items with a defined greedy outcome."""
    accuracy: float
    """Mean greedy outcome, in [0, 1]."""
    standard_error: float
    """Standard error of ``accuracy`` over items."""
    outcomes: tuple[float | None, ...]
    """Greedy outcome per item, None where undefined; pairs with another model's for the same items."""
    sampled_accuracy: float
    """Mean outcome of one sample per item at the training temperature."""
    sampled_standard_error: float
    """Its standard error."""
    entropy: float | None
    """Eq. 11: mean over sampled completions of the mean over tokens of the full-vocabulary entropy (nats); None if no
    sampled completion has a defined outcome."""
    components: Mapping[str, float | None]
    """Mean of every reward component over the sampled completions; None when nowhere defined."""
    length: float
    """Mean sampled completion length, tokens."""
    truncated: float
    """Share of sampled completions that reached the token limit."""
    undefined: int
    """Greedy and sampled completions without a defined outcome."""
    examples: tuple[Mapping[str, Any], ...] = ()
    """A few greedy completions: prompt, completion, components."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Evaluation of a model on the validation items of one task."""

    accuracy: float
    """Mean greedy outcome, in [0, 1]."""
    standard_error: float
    """Its standard error over items."""
    n: int
    """Items with a defined outcome."""
