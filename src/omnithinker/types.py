"""The vocabulary of the whole program: small frozen records, one sentence with unit or shape per field.

Letters used everywhere: K tasks, P prompts in a step, G completions per prompt, T tokens, V vocabulary;
i is the evaluated task, j the trained task.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """The user message, before the chat template."""
    token_ids: tuple[int, ...] = ()
    """[T] the prompt as the policy sees it, chat template and generation prompt included."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """The whole data row: gold answer, tests, reference ... Never shown to the policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One sampled answer to a prompt."""

    text: str
    """Decoded completion, without the end token."""
    token_ids: tuple[int, ...] = ()
    """[T] sampled tokens, the end token included when there is one."""
    logprobs: tuple[float, ...] = ()
    """[T] log-probability of each token at the training temperature, before top-k and top-p (nats)."""
    entropies: tuple[float, ...] = ()
    """[T] entropy of the full-vocabulary distribution each token was drawn from (nats)."""
    truncated: bool = False
    """True when the token limit was reached before an end token."""
    seed: int = 0
    """Seed of this sample: fixes its random numbers and the order of a judged pair."""


@dataclass(frozen=True, slots=True)
class Undefined:
    """A reward component that could not be determined: neither a number nor an error to stop for."""

    cause: str
    """Short stable identifier counted in metrics, such as ``gold_unparseable`` or ``sandbox_error``."""
    detail: str = ""
    """One line for people; never holds a secret."""


Value = float | Undefined
"""What a reward component says of one completion."""


@dataclass(frozen=True, slots=True)
class RewardOutput:
    """A value with what led to it, for people who look into a reward."""

    value: Value | None
    """What the component says; None as for functions written for other trainers."""
    details: Mapping[str, Any]
    """Plain data, fit for JSON."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Numbers to be averaged over the step's completions, as metrics of the component."""


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
    """For each undefined component, why."""
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What a component tells of its value beyond the number, plain data; only for components that tell something."""
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Per component, the numbers it wants averaged; only for components that have some."""
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
    """How a model does on the held-out items of one task."""

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
    entropy: float
    """Eq. 11: mean over sampled completions of the mean over tokens of the full-vocabulary entropy (nats)."""
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
    """How a model does on the validation items of one task."""

    accuracy: float
    """Mean greedy outcome, in [0, 1]."""
    standard_error: float
    """Its standard error over items."""
    n: int
    """Items with a defined outcome."""
