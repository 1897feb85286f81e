"""Who judges, where, within which limits and at what price."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from omnithinker.config.base import OPERATIONAL, Settings


class RubricJudgeSettings(Settings):
    """The offline judge of the lab: compares texts by the rubric that each row carries."""

    kind: Literal["rubric"] = "rubric"


class ChatJudgeSettings(Settings):
    """An LLM judge behind any OpenAI-compatible endpoint."""

    kind: Literal["chat"] = "chat"
    model: str
    """Model name sent to the endpoint (paper: gpt-4.1-mini)."""
    base_url: str | None = None
    """Endpoint; by default the ``openai`` package's own."""
    api_key_env: Annotated[str, OPERATIONAL] = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key. The key itself never enters a recipe or a log."""
    temperature: float | Literal["default"] = 0.4
    """Sent with each request; ``default`` sends none, for models that refuse it."""
    max_tokens: int = Field(1024, ge=1)
    """Longest verdict, reasoning included."""
    concurrency: Annotated[int, OPERATIONAL] = Field(16, ge=1)
    """Requests in flight at once."""
    requests_per_minute: Annotated[float | None, OPERATIONAL] = Field(None, gt=0)
    """Rate limit of your account; by default none."""
    tokens_per_minute: Annotated[float | None, OPERATIONAL] = Field(None, gt=0)
    """Rate limit of your account, request and reply tokens together; by default none."""
    timeout_s: Annotated[float, OPERATIONAL] = Field(60.0, gt=0)
    """Deadline of one request, seconds."""
    deadline_s: Annotated[float, OPERATIONAL] = Field(600.0, gt=0)
    """Deadline of one judgment with all its tries and the pauses between them, seconds. Waiting for one of the
    ``concurrency`` places does not count."""
    run_deadline_s: Annotated[float | None, OPERATIONAL] = Field(None, gt=0)
    """Seconds of one run in which replies may be waited for, all together; then it stops and can be continued."""
    retries: Annotated[int, OPERATIONAL] = Field(4, ge=0)
    """Further tries after 408, 409, 429, 5xx, a lost connection or a timeout."""
    breaker: Annotated[int, OPERATIONAL] = Field(20, ge=1)
    """After this many failed judgments in a row, calls stop for 30 seconds at a time."""
    cache: Annotated[str | None, OPERATIONAL] = None
    """SQLite file of replies, relative to the recipe: a repeated run replays them without a call."""
    template: str | None = None
    """File with the judge's messages, relative to the recipe; by default the built-in rubric."""
    max_answer_chars: int | None = Field(None, ge=1)
    """Both texts are cut to this length before they are compared, as a control of length."""
    price_input: Annotated[float, OPERATIONAL] = Field(0.0, ge=0)
    """Price of a million request tokens, in any currency."""
    price_output: Annotated[float, OPERATIONAL] = Field(0.0, ge=0)
    """Price of a million reply tokens."""
    budget: Annotated[float | None, OPERATIONAL] = Field(None, gt=0)
    """Money this judge may spend in one run; then the run stops and can be continued."""

    @model_validator(mode="after")
    def _priced(self) -> ChatJudgeSettings:
        if self.budget is not None and self.price_input == 0 and self.price_output == 0:
            raise ValueError("'budget' needs 'price_input' and 'price_output', per million tokens")
        return self


JudgeSettings = Annotated[RubricJudgeSettings | ChatJudgeSettings, Field(discriminator="kind")]
