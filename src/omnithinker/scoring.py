"""Scoring groups beside generation: rewards of a group start as soon as it is complete."""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, SupportsFloat

from omnithinker.errors import BadInput, RewardError
from omnithinker.judge.base import BudgetSpent
from omnithinker.rewards.base import Answer, Component, combine
from omnithinker.types import Completion, Explained, Prompt, RolloutGroup, Undefined


class Scorer:
    """Scores groups in threads; rewards that are coroutines share one event loop.

    Args:
        components: per task, its reward components.
        threads: groups scored at once. Threads mostly wait for sandboxes and judges.
    """

    def __init__(self, components: Mapping[str, Sequence[Component]], threads: int = 16) -> None:
        self.components = components
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="score")
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._loop.run_forever, name="score-async", daemon=True)
        self._loop_thread.start()

    def submit(self, group: RolloutGroup) -> Future[RolloutGroup]:
        """Start scoring a group.

        Returns:
            A future of the group with its scores; raises RewardError, naming the component, when one failed.
        """
        return self._threads.submit(self.score, group)

    def score(self, group: RolloutGroup) -> RolloutGroup:
        """Score a group now.

        Raises:
            BadInput: a component cannot work with what the user gave it, such as a wrong key.
            BudgetSpent: a judge's budget is used up.
            RewardError: a component raised, or returned something that is not G numbers or undefined values.
        """
        components = self.components[group.prompt.task]
        columns = [self._values(component, group.prompt, group.completions) for component in components]
        scores = tuple(combine(components, values) for values in zip(*columns, strict=True))
        return replace(group, scores=scores)

    def close(self) -> None:
        """Stop the threads; groups not yet started are dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join()
        self._loop.close()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _values(self, component: Component, prompt: Prompt, completions: Sequence[Completion]) -> Sequence[Answer]:
        owner = f"reward {component.name!r} of task {prompt.task!r}"
        try:
            result = component.reward.score_group(prompt, completions)
            if inspect.isawaitable(result):
                result = asyncio.run_coroutine_threadsafe(_await(result), self._loop).result()
            values = list(result)
        except (BadInput, BudgetSpent):
            raise  # these say themselves what the user can do
        except Exception as error:
            raise RewardError(f"{owner} failed on row {prompt.index}: {type(error).__name__}: {error}") from error
        if len(values) != len(completions):
            raise RewardError(f"{owner} returned {len(values)} values for {len(completions)} completions")
        for answer in values:
            value = answer.value if isinstance(answer, Explained) else answer
            if value is None or isinstance(value, Undefined):
                continue
            if not isinstance(value, SupportsFloat) or not math.isfinite(value):
                raise RewardError(f"{owner} returned {value!r}; expected a finite number, or None for undefined")
        return values


async def _await(result: Awaitable[Any]) -> Any:
    return await result
