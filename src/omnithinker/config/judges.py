"""Settings of judges: endpoint, limits and prices."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from omnithinker.config.base import OPERATIONAL, Settings


def url_problem(url: str) -> str | None:
    """Return what is wrong with the base URL of an endpoint, without repeating it; None if nothing is."""
    if not url.isprintable() or " " in url:
        return "must not contain spaces or control characters"
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError as error:
        return f"is no valid URL ({type(error).__name__})"
    if parts.scheme not in ("http", "https") or not host:
        return "must be a URL such as http://localhost:8000/v1"
    if parts.query or parts.fragment:
        return "must not contain a query or a fragment; name the key's variable in api_key_env"
    return None


def _base_url(value: str) -> str:
    if problem := url_problem(value):
        raise ValueError(problem)
    return value


def _variable(value: str) -> str:
    # The value is not repeated: it may be the key itself.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("must be the name of an environment variable, not the key")
    return value


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
    base_url: Annotated[str, AfterValidator(_base_url)] | None = None
    """Base URL of the endpoint; by default the ``openai`` package's."""
    api_key_env: Annotated[str, OPERATIONAL, AfterValidator(_variable)] = "OPENAI_API_KEY"
    """Environment variable that holds the API key. The key itself is never written to a recipe or a log."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["default"] = 0.4
    """Sampling temperature; ``default`` sends none, for models that reject the parameter."""
    max_tokens: int = Field(1024, ge=1)
    """Maximum tokens of a reply, reasoning included."""
    concurrency: Annotated[int, OPERATIONAL] = Field(16, ge=1)
    """Maximum requests in flight."""
    requests_per_minute: Annotated[float | None, OPERATIONAL] = Field(None, gt=0, allow_inf_nan=False)
    """Maximum requests within any minute, sent at even intervals; None for no limit."""
    tokens_per_minute: Annotated[float | None, OPERATIONAL] = Field(None, gt=0, allow_inf_nan=False)
    """Token rate limit, request and reply tokens together; None for none."""
    timeout_s: Annotated[float, OPERATIONAL] = Field(60.0, gt=0, allow_inf_nan=False)
    """Timeout of one request, seconds."""
    deadline_s: Annotated[float, OPERATIONAL] = Field(600.0, gt=0, allow_inf_nan=False)
    """Timeout of one judgment with all its retries and backoff, seconds. Time spent waiting for one of the
    ``concurrency`` slots, for the rate limits or for the budget does not count."""
    run_deadline_s: Annotated[float | None, OPERATIONAL] = Field(None, gt=0, allow_inf_nan=False)
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
    price_input: Annotated[float, OPERATIONAL] = Field(0.0, ge=0, allow_inf_nan=False)
    """Price per million request tokens, in any currency."""
    price_output: Annotated[float, OPERATIONAL] = Field(0.0, ge=0, allow_inf_nan=False)
    """Price per million reply tokens."""
    budget: Annotated[float | None, OPERATIONAL] = Field(None, gt=0, allow_inf_nan=False)
    """Maximum cost per run, in the currency of the prices; exceeded by one call at most. The run stops when it is
    spent, and can be resumed."""
    estimate_usage: Annotated[bool, OPERATIONAL] = False
    """Count 4 characters as a token where the endpoint reports no usage. Otherwise such a reply stops a run with a
    budget, which would never be spent."""

    @model_validator(mode="after")
    def _priced(self) -> ChatJudgeSettings:
        if self.budget is not None and self.price_input == 0 and self.price_output == 0:
            raise ValueError("'budget' requires 'price_input' or 'price_output', per million tokens")
        return self


JudgeSettings = Annotated[RubricJudgeSettings | ChatJudgeSettings, Field(discriminator="kind")]
