"""An LLM judge: reasoning first, verdict last, asked once more when the verdict is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.judge.base import JudgeFailed, Verdict
from omnithinker.judge.endpoint import Endpoint
from omnithinker.judge.ledger import Account, Usage
from omnithinker.judge.prompts import load_template, read_verdict

CUT = " [...]"
"""Shown where a text was cut to ``max_answer_chars``."""


class ChatJudge:
    """Compares two texts by asking a model (paper: gpt-4.1-mini, temperature 0.4).

    Args:
        settings: a recipe's judge of kind ``chat``.
        account: where calls, tokens and money are counted; by default in an account of its own.

    Raises:
        BadInput: key, cache or template cannot be used.
    """

    def __init__(self, settings: ChatJudgeSettings, account: Account | None = None) -> None:
        self._template = load_template(settings.template)
        self._endpoint = Endpoint(settings, account)
        self._max_chars = settings.max_answer_chars

    @property
    def usage(self) -> Usage:
        """Calls, tokens, money and failures so far, in this run."""
        return self._endpoint.usage

    async def compare(
        self, *, request: str, answer_a: str, answer_b: str, row: Mapping[str, Any], trial: int = 0
    ) -> Verdict:
        """Ask which answer serves the request better; see :class:`~omnithinker.judge.base.Judge`.

        Raises:
            JudgeFailed: no verdict; ``judge_unparseable`` when two replies had none, else the endpoint's cause.
            BadInput: the endpoint does not know the model or refuses the key.
            BudgetSpent: the money or the time for this run is used up.
        """
        messages = self._template.messages(request, self._cut(answer_a), self._cut(answer_b))
        reply = await self._endpoint.complete(messages, trial)
        verdict = read_verdict(reply.text)
        if verdict is None:
            again = await self._endpoint.complete(self._template.ask_again(messages, reply.text), trial)
            verdict = read_verdict(again.text)
        if verdict is None:
            self._endpoint.account.add(failures={"judge_unparseable": 1})
            raise JudgeFailed(
                "judge_unparseable", f"two replies without a verdict; the first ends {reply.text[-80:]!r}"
            )
        return verdict

    def close(self) -> None:
        """Close connections and cache."""
        self._endpoint.close()

    def _cut(self, answer: str) -> str:
        if self._max_chars is None or len(answer) <= self._max_chars:
            return answer
        return answer[: self._max_chars] + CUT
