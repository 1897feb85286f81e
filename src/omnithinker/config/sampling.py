"""Settings of drawing completions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from omnithinker.config.base import OPERATIONAL, Settings
from omnithinker.config.registry import GENERATORS, nearest


class SamplingSettings(Settings):
    """How completions are drawn during training (paper: 1.0, 1.0, 50)."""

    generator: str = "native"
    """Engine that samples: ``native`` decodes with the policy itself."""
    completions: int = Field(8, ge=2)
    """G, completions per prompt."""
    temperature: float = Field(1.0, gt=0)
    """Divides the logits; also the temperature at which entropy and log-probabilities are measured."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus: the smallest set of tokens with at least this probability mass."""
    top_k: int = Field(50, ge=0)
    """Only the k most likely tokens can be drawn; 0 switches the limit off."""
    max_new_tokens: int = Field(1024, ge=1)
    """Longest completion, in tokens; one that reaches it is truncated and scored as what it says."""
    max_prompt_tokens: int = Field(1024, ge=1)
    """Longest prompt, in tokens, chat template included."""
    overlong_prompts: Literal["drop", "truncate_left", "truncate_right"] = "drop"
    """What becomes of a longer prompt: it is left out, counted and reported, or its user message loses tokens at the
    beginning or at the end. The chat template and the system message stay whole."""
    batch_size: Annotated[int, OPERATIONAL] = Field(512, ge=1)
    """Completions drawn at once, by the native generator; more are drawn batch after batch. Less takes less memory, and
    lets slow rewards begin earlier. Changes the result only by rounding."""

    @field_validator("generator")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in GENERATORS:
            raise ValueError(f"no generator {name!r}{nearest(name, GENERATORS)}")
        return name
