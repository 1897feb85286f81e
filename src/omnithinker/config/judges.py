"""Settings of judges: endpoint, limits and prices."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from omnithinker.config.base import OPERATIONAL, Settings


class RubricJudgeSettings(Settings):
    """Offline judge of the lab: compares texts by the rubric in each row."""

    paid: ClassVar[bool] = False
    """True if calls may cost money."""

    kind: Literal["rubric"] = "rubric"


class ChatJudgeSettings(Settings):
    """LLM judge behind an OpenAI-compatible endpoint."""

    paid: ClassVar[bool] = True

    kind: Literal["chat"] = "chat"
    model: str
    """Model name sent to the endpoint (paper: gpt-4.1-mini)."""
    base_url: str | None = None
    """Base URL of the endpoint; by default the ``openai`` package's."""
    api_key_env: Annotated[str, OPERATIONAL] = "OPENAI_API_KEY"
    """Environment variable that holds the API key. The key itself is never written to a recipe or a log."""
    temperature: float | Literal["default"] = 0.4
    """Sampling temperature; ``default`` sends none, for models that reject the parameter."""
    max_tokens: int = Field(1024, ge=1)
    """Maximum tokens of a reply, reasoning included."""
    concurrency: Annotated[int, OPERATIONAL] = Field(16, ge=1)
    """Maximum requests in flight."""
    requests_per_minute: Annotated[float | None, OPERATIONAL] = Field(None, gt=0)
    """Request rate limit; None for none."""
    tokens_per_minute: Annotated[float | None, OPERATIONAL] = Field(None, gt=0)
    """Token rate limit, request and reply tokens together; None for none."""
    timeout_s: Annotated[float, OPERATIONAL] = Field(60.0, gt=0)
    """Timeout of one request, seconds."""
    deadline_s: Annotated[float, OPERATIONAL] = Field(600.0, gt=0)
    """Timeout of one judgment with all its retries and backoff, seconds. Time spent waiting for one of the
    ``concurrency`` slots does not count."""
    run_deadline_s: Annotated[float | None, OPERATIONAL] = Field(None, gt=0)
    """Total time per run during which at least one request is in flight, seconds. The run stops when it is used up, and
    can be resumed."""
    retries: Annotated[int, OPERATIONAL] = Field(4, ge=0)
    """Maximum retries after status 408, 409, 425, 429 or 5xx, a lost connection, a timeout or a malformed reply."""
    breaker: Annotated[int, OPERATIONAL] = Field(20, ge=1)
    """Consecutive failed judgments after which the judge is called only once every 30 seconds until a call succeeds."""
    cache: Annotated[str | None, OPERATIONAL] = None
    """SQLite file of replies, relative to the recipe; a repeated request is answered from it without a call."""
    template: str | None = None
    """Prompt template file, relative to the recipe; by default the built-in one."""
    max_answer_chars: int | None = Field(None, ge=1)
    """Length to which both texts are truncated before the comparison, characters."""
    price_input: Annotated[float, OPERATIONAL] = Field(0.0, ge=0)
    """Price per million request tokens, in any currency."""
    price_output: Annotated[float, OPERATIONAL] = Field(0.0, ge=0)
    """Price per million reply tokens."""
    budget: Annotated[float | None, OPERATIONAL] = Field(None, gt=0)
    """Maximum cost per run, in the currency of the prices. The run stops when it is spent, and can be resumed."""

    @model_validator(mode="after")
    def _priced(self) -> ChatJudgeSettings:
        if self.budget is not None and self.price_input == 0 and self.price_output == 0:
            raise ValueError("'budget' requires 'price_input' or 'price_output', per million tokens")
        return self


JudgeSettings = Annotated[RubricJudgeSettings | ChatJudgeSettings, Field(discriminator="kind")]
