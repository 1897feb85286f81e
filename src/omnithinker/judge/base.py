"""Interface of judges: comparison of two answers to one request."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from omnithinker.errors import JudgeError, OmniThinkerError


class Verdict(StrEnum):
    """Outcome of a comparison of answer A with answer B."""

    A = "A"
    B = "B"
    TIE = "tie"


class JudgeFailed(JudgeError):
    """The judge returned no usable verdict.

    Args:
        cause: Short stable identifier counted in metrics, such as ``judge_timeout``.
        message: One line for the user; never contains a secret.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class BudgetSpent(OmniThinkerError):
    """A judge has used up its budget or its time for one run. The run stops; it can be resumed with a higher limit."""

    exit_code = 130


class Judge(Protocol):
    """Compares two texts."""

    async def compare(
        self, *, request: str, answer_a: str, answer_b: str, row: Mapping[str, Any], trial: int = 0
    ) -> Verdict:
        """Return which of two answers serves the request better.

        Args:
            request: The user's request.
            answer_a: Text shown first.
            answer_b: Text shown second.
            row: Data row, for judges that use a rubric or reference facts in it.
            trial: Distinguishes repeated judgments of the same pair; part of the cache key.

        Raises:
            JudgeError: if there is no usable verdict.
        """
        ...
