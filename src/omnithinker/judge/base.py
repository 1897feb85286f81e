"""What a judge is: it compares two answers to one request and knows nothing of rewards."""

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
    """No usable verdict, with a cause to count by.

    Args:
        cause: short stable identifier, such as ``judge_timeout``.
        message: one line for people; never holds a secret.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class BudgetSpent(OmniThinkerError):
    """A judge's money or time for one run is used up. Stops the run, which can go on when it is given more."""

    exit_code = 130


class Judge(Protocol):
    """Compares two texts."""

    async def compare(
        self, *, request: str, answer_a: str, answer_b: str, row: Mapping[str, Any], trial: int = 0
    ) -> Verdict:
        """Say which of two answers serves the request better.

        Args:
            request: what the user asked for.
            answer_a: the text shown first.
            answer_b: the text shown second.
            row: the data row, for judges that use a rubric or reference facts in it.
            trial: distinguishes repeated judgments of the same pair (part of a cache key).

        Raises:
            JudgeError: no usable verdict was obtained.
        """
        ...
