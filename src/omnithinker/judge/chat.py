"""LLM judge: reasons first, gives its verdict last, and is prompted once more if the verdict is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.io.closing import Closing
from omnithinker.io.step_metrics import JudgeMetrics
from omnithinker.judge.base import JudgeFailed, Verdict
from omnithinker.judge.endpoint import Endpoint
from omnithinker.judge.ledger import Account
from omnithinker.judge.prompts import load_template, read_verdict
from omnithinker.judge.replies import Reply

TRUNCATION_MARK = " [...]"
"""Appended to a text that was truncated to ``max_answer_chars``."""


class ChatJudge(Closing):
    """Compares two texts with a language model (paper: gpt-4.1-mini, temperature 0.4).

    Args:
        settings: Settings of a judge of kind ``chat``.
        account: Counts calls, tokens and cost; by default a new one.

    Raises:
        BadInput: if the key, the cache or the template cannot be used.
    """

    def __init__(self, settings: ChatJudgeSettings, account: Account | None = None) -> None:
        self._template = load_template(settings.template)
        self._endpoint = Endpoint(settings, account)
        self._max_chars = settings.max_answer_chars

    @property
    def usage(self) -> JudgeMetrics:
        """Calls, tokens, cost and failures in this run so far."""
        return self._endpoint.usage

    async def compare(
        self, *, request: str, answer_a: str, answer_b: str, row: Mapping[str, Any], trial: int = 0
    ) -> Verdict:
        """Return which answer serves the request better; see :class:`~omnithinker.judge.base.Judge`.

        Raises:
            JudgeFailed: if there is no verdict; cause ``judge_unparseable`` if two replies had none, else the
                endpoint's cause.
            BadInput: if the endpoint does not know the model or rejects the key.
            BudgetSpent: if the budget or the time for this run is used up.
        """
        messages = self._template.messages(request, self._truncate(answer_a), self._truncate(answer_b))
        reply = await self._endpoint.complete(messages, trial)
        verdict = _verdict(reply)
        if verdict is None:
            second = await self._endpoint.complete(self._template.retry_messages(messages, reply.text), trial)
            verdict = _verdict(second)
        if verdict is None:
            self._endpoint.account.add(failures={"judge_unparseable": 1})
            state = "ends" if reply.complete else "was cut off (see max_tokens) or refused at"
            raise JudgeFailed(
                "judge_unparseable", f"two replies without a verdict; the first {state} {reply.text[-80:]!r}"
            )
        return verdict

    def close(self) -> None:
        """Close the connections and the cache."""
        self._endpoint.close()

    def _truncate(self, answer: str) -> str:
        if self._max_chars is None or len(answer) <= self._max_chars:
            return answer
        return answer[: self._max_chars] + TRUNCATION_MARK


def _verdict(reply: Reply) -> Verdict | None:
    return read_verdict(reply.text) if reply.complete else None
