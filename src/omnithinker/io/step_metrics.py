"""The metrics of one training step as a typed record, and its line in ``metrics.jsonl``.

Metric names such as ``task/math/reward`` are composed and parsed here and nowhere else. Needs no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pydantic import TypeAdapter

from omnithinker.types import Score

Number = float | None
"""A metric; None where it is undefined."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """Wall-clock time of a step by phase."""

    generate: float
    """Generation of all completions; rewards are computed meanwhile."""
    wait: float
    """Blocked on rewards that generation did not cover."""
    train: float
    """Forward, backward and optimizer."""

    @property
    def step(self) -> float:
        """The whole step."""
        return self.generate + self.wait + self.train


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMetrics:
    """Metrics of one task in one step: means over its completions with a defined reward, unless stated otherwise."""

    reward: Number = None
    """Mean total reward."""
    accuracy: Number = None
    """Mean of the primary components, in [0, 1]."""
    entropy: Number = None
    """Mean token entropy, Eq. 11 (nats); undefined where the generator reports none."""
    length: Number = None
    """Mean completion length (tokens that the policy chose)."""
    truncated: Number = None
    """Share of completions that reached the token limit."""
    completions: int = 0
    """Completions sampled."""
    tokens: int = 0
    """Completion tokens sampled."""
    undefined: int = 0
    """Completions without a defined reward; they leave the update."""
    frac_reward_zero_std: Number = None
    """Share of groups without any non-zero advantage."""
    dropped_groups: int = 0
    """Groups with fewer than two defined completions; they leave the step."""
    components: Mapping[str, Number] = field(default_factory=dict)
    """Per reward component, its unweighted mean where defined: ``component/<name>``."""
    component_metrics: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    """Per component, the means of the numbers that it reports besides its value: ``component/<name>/<metric>``."""
    judged: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    """Per component that compares two texts, preference and length: ``judged/<name>/<metric>``."""
    causes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Per component, completions for which it is undefined, by cause: ``undefined/<name>/<cause>``."""
    kl: Number = None
    """KL estimate against the reference policy (nats per token), over completions with a KL term."""
    clip_frac: Number = None
    """Share of tokens at which the clip of Eq. 4 is active, over completions in the gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeMetrics:
    """Usage and cost of one judge since the run began."""

    calls: int = 0
    """Requests answered by the endpoint."""
    cached: int = 0
    """Requests answered from the cache."""
    retries: int = 0
    """Attempts after the first."""
    prompt_tokens: int = 0
    """Prompt tokens of ``calls``."""
    completion_tokens: int = 0
    """Completion tokens of ``calls``."""
    cost: float = 0.0
    """Money, at the prices in the recipe."""
    seconds: float = 0.0
    """Seconds with at least one request in flight."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Failed requests and unusable replies, by cause: ``failures/<cause>``."""

    def plus(self, change: Mapping[str, Any]) -> JudgeMetrics:
        """Add numbers by field name, and ``failures`` by cause."""
        failures = Counter(self.failures) + Counter(change.get("failures", {}))
        sums = {name: getattr(self, name) + amount for name, amount in change.items() if name != "failures"}
        return replace(self, **sums, failures=dict(sorted(failures.items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """Metrics of one step."""

    step: int
    """Steps finished, this one included."""
    tokens: int
    """Completion tokens sampled."""
    seconds: Seconds
    """Wall-clock time by phase."""
    loss: Number = None
    """Mean loss of the step's applied updates."""
    grad_norm: Number = None
    """Mean gradient norm before clipping."""
    updates: int = 0
    """Optimizer updates applied."""
    nonfinite: int = 0
    """Updates skipped because loss or gradient was not finite."""
    tasks: Mapping[str, TaskMetrics] = field(default_factory=dict)
    """Per task of the step: ``task/<name>/<metric>``."""
    judges: Mapping[str, JudgeMetrics] = field(default_factory=dict)
    """Per judge: ``judge/<name>/<metric>``."""

    @property
    def tokens_per_second(self) -> float:
        """Completion tokens over the seconds of the whole step."""
        return self.tokens / max(self.seconds.step, 1e-9)

    def per_task(self, metric: str) -> dict[str, float]:
        """A metric of every task where it is defined, by task name."""
        values = {task: getattr(metrics, metric) for task, metrics in self.tasks.items()}
        return {task: value for task, value in values.items() if value is not None}

    def to_record(self) -> dict[str, Any]:
        """Return one line of ``metrics.jsonl``.

        Raises:
            ValueError: if the name of a task, component or judge contains "/".
        """
        record: dict[str, Any] = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds/generate": round(self.seconds.generate, 4),
            "seconds/wait": round(self.seconds.wait, 4),
            "seconds/train": round(self.seconds.train, 4),
            "tokens_per_second": round(self.tokens_per_second, 2),
            "loss": self.loss,
            "grad_norm": self.grad_norm,
            "updates": self.updates,
            "nonfinite": self.nonfinite,
        }
        for task, metrics in sorted(self.tasks.items()):
            record |= {f"task/{_checked(task)}/{name}": value for name, value in _flat_task(metrics).items()}
        for judge, usage in self.judges.items():
            record |= {f"judge/{_checked(judge)}/{name}": value for name, value in _flat_judge(usage).items()}
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> StepMetrics:
        """Parse one line of ``metrics.jsonl``. Missing metrics take their defaults, unknown names are ignored.

        Raises:
            KeyError: if the record has no ``step``.
            ValueError: if a metric is no number.
        """
        tasks: dict[str, dict[str, Any]] = {}
        judges: dict[str, dict[str, Any]] = {}
        for key, value in record.items():
            group, _, rest = key.partition("/")
            name, _, metric = rest.partition("/")
            if group == "task" and metric:
                tasks.setdefault(name, {})[metric] = value
            elif group == "judge" and metric:
                judges.setdefault(name, {})[metric] = value
        return _TYPED.validate_python(
            {
                "step": record["step"],
                "tokens": record.get("tokens", 0),
                "seconds": {phase: record.get(f"seconds/{phase}", 0.0) for phase in ("generate", "wait", "train")},
                **{name: record[name] for name in ("loss", "grad_norm", "updates", "nonfinite") if name in record},
                "tasks": {task: _parse_task(flat) for task, flat in tasks.items()},
                "judges": {judge: _parse_judge(flat) for judge, flat in judges.items()},
            }
        )


NESTED = {"component_metrics": "component", "judged": "judged", "causes": "undefined"}
"""Fields of :class:`TaskMetrics` that hold metrics by component, and the prefix of their names."""
TASK_NUMBERS = tuple(f.name for f in fields(TaskMetrics) if f.name not in (*NESTED, "components"))
"""Fields of :class:`TaskMetrics` that are one number."""
JUDGE_NUMBERS = tuple(f.name for f in fields(JudgeMetrics) if f.name != "failures")
"""Fields of :class:`JudgeMetrics` that are one number."""


def component_means(scores: Sequence[Score]) -> dict[str, Number]:
    """Return the mean of every component over the completions where it is defined; None if it is nowhere."""
    names = list(dict.fromkeys(name for score in scores for name in score.components))
    return {name: mean_defined(score.components.get(name) for score in scores) for name in names}


def mean_defined(values: Iterable[Number]) -> Number:
    """Return the mean of the numbers that are not None; None if there are none."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _checked(name: str) -> str:
    if "/" in name:
        raise ValueError(f"metrics cannot be named after {name!r}: the name contains '/'")
    return name


def _flat_task(metrics: TaskMetrics) -> dict[str, Number]:
    """Metrics of a task by name, without the task's prefix, in the order of the fields."""
    flat: dict[str, Number] = {}
    for each in fields(TaskMetrics):
        value = getattr(metrics, each.name)
        if each.name == "components":
            flat |= {f"component/{_checked(component)}": mean for component, mean in value.items()}
        elif each.name in NESTED:
            for component, numbers in value.items():
                prefix = f"{NESTED[each.name]}/{_checked(component)}"
                flat |= {f"{prefix}/{name}": number for name, number in numbers.items()}
        else:
            flat[each.name] = value
    return flat


def _parse_task(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of :func:`_flat_task`: fields by name."""
    arguments: dict[str, Any] = {name: flat[name] for name in TASK_NUMBERS if name in flat}
    field_of = {prefix: name for name, prefix in NESTED.items()}
    for key, value in flat.items():
        prefix, _, rest = key.partition("/")
        component, _, name = rest.partition("/")
        if prefix == "component" and component and not name:
            arguments.setdefault("components", {})[component] = value
        elif prefix in field_of and name:
            arguments.setdefault(field_of[prefix], {}).setdefault(component, {})[name] = value
    return arguments


def _flat_judge(usage: JudgeMetrics) -> dict[str, Number]:
    """Usage of a judge by name, without the judge's prefix."""
    flat: dict[str, Number] = {name: getattr(usage, name) for name in JUDGE_NUMBERS}
    return flat | {f"failures/{cause}": count for cause, count in usage.failures.items()}


def _parse_judge(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of :func:`_flat_judge`: fields by name."""
    failures = {key.removeprefix("failures/"): count for key, count in flat.items() if key.startswith("failures/")}
    return {name: flat[name] for name in JUDGE_NUMBERS if name in flat} | {"failures": failures}


_TYPED = TypeAdapter(StepMetrics)
