"""The log of one run: metrics.jsonl (one line per step) and rollouts.jsonl (a sample of what was said)."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omnithinker.io.files import read_json_lines, write_text, writing
from omnithinker.io.step_metrics import StepMetrics
from omnithinker.types import RolloutGroup

ROLLOUTS_EVERY = 5
"""Steps between logged rollouts."""


class RunLog:
    """Appends to a run folder's logs.

    Args:
        folder: the run folder.
        step: steps that count; lines of later steps, left by a run that was killed, are removed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.metrics_file = folder / "metrics.jsonl"
        self.rollouts_file = folder / "rollouts.jsonl"
        self.records = [StepMetrics.from_record(record) for record in self._keep(self.metrics_file, step)]
        """Metrics of the steps that count, read at the start."""
        self._keep(self.rollouts_file, step)

    def step(self, metrics: StepMetrics) -> None:
        """Append the metrics of one step."""
        _append(self.metrics_file, metrics.to_record())

    def rollouts(self, step: int, groups: list[RolloutGroup]) -> None:
        """Append one group per task of this step, at some steps."""
        if step != 1 and step % ROLLOUTS_EVERY:
            return
        first = {group.prompt.task: group for group in reversed(groups)}
        for task, group in first.items():
            completions = [
                {
                    "text": completion.text,
                    "reward": score.reward,
                    "components": dict(score.components),
                    "causes": dict(score.causes),
                }
                | ({"details": dict(score.details)} if score.details else {})
                for completion, score in zip(group.trajectories, group.scores, strict=True)
            ]
            record = {"step": step, "task": task, "prompt": group.prompt.text, "completions": completions}
            _append(self.rollouts_file, record)

    @staticmethod
    def _keep(file: Path, step: int) -> list[dict[str, Any]]:
        kept = [record for record in read_json_lines(file) if record["step"] <= step]
        write_text(file, "".join(_line(record) for record in kept))
        return kept


def versions() -> dict[str, str]:
    """Versions of what determines a run's numbers."""
    packages = ("omnithinker", "torch", "transformers", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _append(file: Path, record: dict[str, Any]) -> None:
    with writing(file), file.open("a", encoding="utf-8") as stream:
        stream.write(_line(record))
