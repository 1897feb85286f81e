"""The metrics of one update of supervised fine-tuning as a typed record, and its line in ``metrics.jsonl``.

Metric names such as ``sft/loss`` are composed and parsed here and nowhere else. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter

from omnithinker.io.step_metrics import Number


@dataclass(frozen=True, slots=True, kw_only=True)
class SftTaskMetrics:
    """Metrics of one task in one update."""

    loss: Number = None
    """Mean over the task's completion tokens of the negative log-probability, before the update (nats)."""
    examples: int = 0
    """Demonstrations of the task."""
    tokens: int = 0
    """Their completion tokens."""
    val_loss: Number = None
    """Mean over the completion tokens of the task's validation items, after the update (nats); undefined between
    validations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SftMetrics:
    """Metrics of one update of supervised fine-tuning."""

    step: int
    """Updates finished, this one included."""
    epoch: float = 0.0
    """Passes over the demonstrations finished."""
    loss: Number = None
    """Mean over the batch's completion tokens of the negative log-probability, before the update (nats)."""
    val_loss: Number = None
    """Mean over the completion tokens of all validation items, after the update (nats); undefined between
    validations."""
    grad_norm: Number = None
    """Gradient norm before clipping."""
    learning_rate: float = 0.0
    """Learning rate of the update."""
    examples: int = 0
    """Demonstrations of the batch."""
    tokens: int = 0
    """Their completion tokens."""
    nonfinite: int = 0
    """1 if the update was skipped because loss or gradient was not finite."""
    seconds_train: float = 0.0
    """Wall-clock time of forward, backward and optimizer."""
    seconds_validate: float = 0.0
    """Wall-clock time of the validation."""
    tasks: Mapping[str, SftTaskMetrics] = field(default_factory=dict)
    """Per task: ``sft/task/<name>/<metric>``."""

    @property
    def tokens_per_second(self) -> float:
        """Completion tokens over the seconds of the update."""
        return self.tokens / max(self.seconds_train, 1e-9)

    def per_task(self, metric: str) -> dict[str, float]:
        """A metric of every task where it is defined, by task name."""
        values = {task: getattr(metrics, metric) for task, metrics in self.tasks.items()}
        return {task: value for task, value in values.items() if value is not None}

    def to_record(self) -> dict[str, Any]:
        """Return one line of ``metrics.jsonl``."""
        record: dict[str, Any] = {"step": self.step}
        record |= {f"sft/{name}": getattr(self, name) for name in NUMBERS}
        record |= {
            "sft/tokens_per_second": round(self.tokens_per_second, 2),
            "seconds/train": round(self.seconds_train, 4),
            "seconds/validate": round(self.seconds_validate, 4),
        }
        for task, metrics in sorted(self.tasks.items()):
            record |= {f"sft/task/{task}/{name}": getattr(metrics, name) for name in TASK_NUMBERS}
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SftMetrics:
        """Parse one line of ``metrics.jsonl``. Missing metrics take their defaults, unknown names are ignored.

        Raises:
            KeyError: if the record has no ``step``.
            ValueError: if a metric is no number.
        """
        tasks: dict[str, dict[str, Any]] = {}
        for key, value in record.items():
            if key.startswith("sft/task/"):
                task, _, metric = key.removeprefix("sft/task/").partition("/")
                if metric in TASK_NUMBERS:
                    tasks.setdefault(task, {})[metric] = value
        return _TYPED.validate_python(
            {
                "step": record["step"],
                "seconds_train": record.get("seconds/train", 0.0),
                "seconds_validate": record.get("seconds/validate", 0.0),
                **{name: record[f"sft/{name}"] for name in NUMBERS if f"sft/{name}" in record},
                "tasks": tasks,
            }
        )


NUMBERS = tuple(
    each.name for each in fields(SftMetrics) if each.name not in ("step", "tasks", "seconds_train", "seconds_validate")
)
"""Fields of :class:`SftMetrics` that are ``sft/<name>``."""
TASK_NUMBERS = tuple(each.name for each in fields(SftTaskMetrics))
"""Fields of :class:`SftTaskMetrics`."""
_TYPED = TypeAdapter(SftMetrics)
