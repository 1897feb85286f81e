"""Completions of a run as trackers show them, read from ``rollouts.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """A completion of a training step."""

    task: str
    """Name of the task."""
    prompt: str
    """The last user message."""
    completion: str
    """Text of the completion."""
    reward: float | None
    """Total reward; None if undefined."""
    components: Mapping[str, float | None]
    """Value per component; None where undefined."""


COLUMNS = ("step", "task", "prompt", "completion", "reward", "components")
"""Columns of a table of samples."""


class SampleReader:
    """Reads samples from a log that grows; each line is read once.

    Args:
        file: the log.
        count: most samples per task and step; 0 for none.
    """

    def __init__(self, file: Path, count: int) -> None:
        self._file, self._count = file, count
        self._offset = 0
        self._waiting: dict[int, list[Sample]] = {}

    def of(self, step: int) -> list[Sample]:
        """Return the samples of a step, and forget those of earlier steps.

        Lines that are no records are left out; a file that cannot be read has none.
        """
        with suppress(OSError):
            self._read()
        samples = self._waiting.get(step, [])
        self._waiting = {later: found for later, found in self._waiting.items() if later > step}
        return samples

    def _read(self) -> None:
        if not self._count or not self._file.exists():
            return
        with self._file.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break  # not yet written to its end
                self._offset += len(line)
                self._add(line)

    def _add(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            step, samples = int(record["step"]), list(_samples(record, self._count))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return
        self._waiting.setdefault(step, []).extend(samples)


def _samples(record: Mapping[str, Any], count: int) -> Iterable[Sample]:
    for completion in record["completions"][:count]:
        yield Sample(
            record["task"], record["prompt"], completion["text"], completion["reward"], dict(completion["components"])
        )


def table_rows(step: int, samples: Sequence[Sample]) -> list[list[Any]]:
    """Return samples as rows of :data:`COLUMNS`; components as JSON."""
    return [
        [step, one.task, one.prompt, one.completion, one.reward, json.dumps(one.components, ensure_ascii=False)]
        for one in samples
    ]


def markdown(samples: Sequence[Sample]) -> dict[str, str]:
    """Return the samples of each task as Markdown. Texts are code blocks, so that nothing in them is interpreted."""
    texts: dict[str, list[str]] = {}
    for sample in samples:
        parts = texts.setdefault(sample.task, ["prompt", _block(sample.prompt)])
        components = ", ".join(f"{name} {_number(value)}" for name, value in sample.components.items())
        parts += [f"reward {_number(sample.reward)} ({components})", _block(sample.completion)]
    return {task: "\n\n".join(parts) for task, parts in texts.items()}


def _block(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines() or [""])


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:g}"
