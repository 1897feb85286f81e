"""Rewards written for other trainers, named in a recipe as ``python:package.module:function``.

Two signatures are known by their parameters: TRL's ``f(prompts, completions, **columns) -> list[float | None]``,
sync or async, and verl's ``compute_score(data_source, solution_str, ground_truth, extra_info) -> float | dict``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from omnithinker.errors import RecipeError
from omnithinker.rewards.base import Reward
from omnithinker.types import Completion, Prompt, Value


def load_external(path: str, place: str) -> Reward:
    """Import a reward function.

    Args:
        path: ``package.module:function``.
        place: where the recipe names it, for messages.

    Raises:
        RecipeError: it cannot be imported, or has neither signature.
    """
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecipeError(f"{place}: cannot import {path!r}: {error}") from error
    parameters = inspect.signature(function).parameters
    if "solution_str" in parameters:
        return VerlReward(function)
    if "completions" in parameters:
        return TrlReward(function)
    raise RecipeError(
        f"{place}: {path!r} takes neither 'completions' (as in TRL) nor 'solution_str' (as in verl); "
        f"it has: {', '.join(parameters)}"
    )


class TrlReward:
    """A function with TRL's signature; row fields are passed as columns."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def score_group(
        self, prompt: Prompt, completions: Sequence[Completion]
    ) -> Sequence[Value | None] | Awaitable[Sequence[Value | None]]:
        """Call the function once for the group."""
        columns = {
            name: [value] * len(completions)
            for name, value in prompt.row.items()
            if name not in ("prompts", "completions", "completion_ids", "prompt")
        }
        result: Any = self.function(
            prompts=[prompt.text] * len(completions),
            completions=[completion.text for completion in completions],
            completion_ids=[list(completion.token_ids) for completion in completions],
            **columns,
        )
        return result  # type: ignore[no-any-return]


class VerlReward:
    """A function with verl's signature; reads the verl columns of the row where they exist."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def score_group(self, prompt: Prompt, completions: Sequence[Completion]) -> Sequence[Value | None]:
        """Call the function once per completion."""
        row = prompt.row
        truth = (row.get("reward_model") or {}).get("ground_truth", row.get("answer"))
        values: list[Value | None] = []
        for completion in completions:
            score = self.function(
                data_source=row.get("data_source", prompt.task),
                solution_str=completion.text,
                ground_truth=truth,
                extra_info=row.get("extra_info"),
            )
            values.append(score["score"] if isinstance(score, dict) else score)
        return values
