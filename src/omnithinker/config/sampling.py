"""Settings of sampling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from omnithinker.config.base import OPERATIONAL, Settings
from omnithinker.config.registry import GENERATORS, nearest


class SamplingSettings(Settings):
    """Sampling of completions during training; the paper uses temperature 1.0, top_p 1.0 and top_k 50."""

    generator: str = "native"
    """Engine that samples: ``native`` decodes with the policy itself."""
    completions: int = Field(8, ge=2, le=65_536)
    """Completions per prompt, G: the group within which advantages are computed."""
    temperature: float = Field(1.0, gt=0)
    """Divisor of the logits, for sampling, log-probabilities and entropy alike."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus sampling: probability mass of the smallest set of tokens to sample from; 1 for all tokens."""
    top_k: int = Field(50, ge=0)
    """Number of most likely tokens to sample from; 0 for all tokens."""
    max_new_tokens: int = Field(1024, ge=1)
    """Longest completion, in tokens. A completion that reaches it is truncated, and scored as it stands."""
    max_prompt_tokens: int = Field(1024, ge=1)
    """Longest prompt, in tokens, including the chat template."""
    overlong_prompts: Literal["drop", "truncate_left", "truncate_right"] = "drop"
    """Treatment of prompts over ``max_prompt_tokens``: ``drop`` leaves them out and reports their number;
    ``truncate_left`` and ``truncate_right`` shorten the user message at its beginning or end. The chat template and the
    system message stay complete."""
    batch_size: Annotated[int, OPERATIONAL] = Field(512, ge=1)
    """Completions that the native generator decodes at once. A smaller value needs less memory and lets slow rewards
    start earlier. It changes results by rounding only."""

    @field_validator("generator")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in GENERATORS:
            raise ValueError(f"no generator {name!r}{nearest(name, GENERATORS)}")
        return name
