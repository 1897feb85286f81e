"""The completions of an evaluation: kept for a look at them, and saved beside its result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omnithinker.io.files import write_text
from omnithinker.io.runlog import completion_record
from omnithinker.types import RolloutGroup

FILE_CHARS = 64_000_000
"""Characters of all texts of a file together, about."""
TEXT_CHARS = (500, 32_000)
"""Fewest and most characters that are saved of a text."""


class EvaluatedCompletions:
    """Collects the greedy and the sampled completion of every held-out item."""

    def __init__(self) -> None:
        self.tasks: dict[str, tuple[Sequence[RolloutGroup], Sequence[RolloutGroup]]] = {}
        """Greedy and sampled groups of one completion each, per task, in the order of the items."""

    def add(self, task: str, greedy: Sequence[RolloutGroup], sampled: Sequence[RolloutGroup]) -> None:
        """Add the scored groups of a task."""
        self.tasks[task] = greedy, sampled

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield one record per completion; its ``index`` is the item's position in the test rows, from 0."""
        for task, (greedy, sampled) in self.tasks.items():
            for label, groups in (("greedy", greedy), ("sampled", sampled)):
                for group in groups:
                    record = completion_record(group.trajectories[0], group.scores[0])
                    yield {"task": task, "index": group.prompt.index, "decoding": label, **record}

    def save(self, path: Path) -> None:
        """Write the records as JSON Lines, atomically. Long texts lose their middle, so that the file stays bounded.

        Raises:
            DiskError: if the disk fails.
        """
        records = list(self.records())
        low, high = TEXT_CHARS
        most = min(high, max(low, FILE_CHARS // max(len(records), 1)))
        lines = [
            json.dumps({**record, "text": abridged(record["text"], most)}, ensure_ascii=False) for record in records
        ]
        # UTF-8 cannot encode a lone surrogate, but JSON can escape it.
        text = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace").decode()
        write_text(path, text)

    def items(self, task: str, count: int) -> Iterator[tuple[RolloutGroup, list[Mapping[str, Any]]]]:
        """Yield (greedy group, records of both completions) of a task's first items."""
        for greedy, sampled in list(zip(*self.tasks[task], strict=True))[:count]:
            pairs = (("greedy", greedy), ("sampled", sampled))
            yield (
                greedy,
                [
                    {"label": label, **completion_record(group.trajectories[0], group.scores[0])}
                    for label, group in pairs
                ],
            )


def abridged(text: str, most: int) -> str:
    """Return a text without its middle if it has more than ``most`` characters; the end says more than the middle."""
    if len(text) <= most:
        return text
    head = most // 3
    return f"{text[:head]}\n[... {len(text) - most} characters left out ...]\n{text[len(text) - (most - head) :]}"
