"""Logs of a run: ``metrics.jsonl``, one line per step, and ``rollouts.jsonl``, a sample of the completions."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omnithinker.errors import DataError
from omnithinker.io.files import read_json_lines, write_text, writing
from omnithinker.io.layout import METRICS, ROLLOUTS
from omnithinker.io.sft_metrics import SftMetrics
from omnithinker.io.step_metrics import StepMetrics
from omnithinker.types import RolloutGroup, Score, Trajectory

ROLLOUTS_EVERY = 5
"""Steps between logged rollouts."""


class MetricsLog:
    """Appends to the metrics of a run folder.

    Args:
        folder: the run folder.
        step: steps finished. Lines of later steps, left by a killed run, are removed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.metrics_file = folder / METRICS
        self.lines = _truncate(self.metrics_file, step)
        """Metrics of the finished steps, read when the log is opened."""

    def step(self, metrics: StepMetrics | SftMetrics) -> None:
        """Append the metrics of one step."""
        _append(self.metrics_file, metrics.to_record())


class RunLog(MetricsLog):
    """Appends metrics and completions to the logs of a run folder; arguments as :class:`MetricsLog`."""

    def __init__(self, folder: Path, step: int) -> None:
        super().__init__(folder, step)
        self.rollouts_file = folder / ROLLOUTS
        self.records = [_read_metrics(record, self.metrics_file) for record in self.lines]
        """Metrics of the finished steps, read when the log is opened."""
        _truncate(self.rollouts_file, step)

    def rollouts(self, step: int, groups: Sequence[RolloutGroup]) -> None:
        """Append one group per task, at the first step and every :data:`ROLLOUTS_EVERY` steps."""
        if step != 1 and step % ROLLOUTS_EVERY:
            return
        first = {group.prompt.task: group for group in reversed(groups)}
        for task, group in first.items():
            completions = list(map(_logged, group.trajectories, group.scores))
            record = {"step": step, "task": task, "prompt": group.prompt.text, "completions": completions}
            _append(self.rollouts_file, record)


def completion_record(trajectory: Trajectory, score: Score) -> dict[str, Any]:
    """Return a scored completion as JSON values."""
    record = {
        "text": trajectory.text,
        "reward": score.reward,
        "components": dict(score.components),
        "causes": dict(score.causes),
        "correct": score.correct,
        "length": trajectory.length,
        "truncated": trajectory.truncated,
    }
    return record | {"details": dict(score.details)} if score.details else record


def _logged(trajectory: Trajectory, score: Score) -> dict[str, Any]:
    """Return the record of a trajectory; its tokens and masks are included if it has observations."""
    record = completion_record(trajectory, score)
    if not all(trajectory.action_mask):
        record |= {name: list(getattr(trajectory, name)) for name in ("token_ids", "attention_mask", "action_mask")}
    return record


def versions() -> dict[str, str]:
    """Return the versions of the packages that determine a run's numbers."""
    packages = ("omnithinker", "torch", "transformers", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def _truncate(file: Path, step: int) -> list[dict[str, Any]]:
    """Remove the records of later steps from a log and return the others."""
    records = read_json_lines(file)
    if not all(isinstance(record.get("step"), int) for record in records):
        raise DataError(f"{file}: a line names no step; remove it")
    records = [record for record in records if record["step"] <= step]
    write_text(file, "".join(_line(record) for record in records))
    return records


def _read_metrics(record: dict[str, Any], file: Path) -> StepMetrics:
    try:
        return StepMetrics.from_record(record)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise DataError(f"{file}: a line does not hold the metrics of a step; remove it") from error


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _append(file: Path, record: dict[str, Any]) -> None:
    with writing(file), file.open("a", encoding="utf-8") as stream:
        stream.write(_line(record))
