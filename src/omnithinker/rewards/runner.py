"""Score groups while others are generated: rewards of a group start as soon as it is complete."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, SupportsFloat

from omnithinker.errors import BadInput, DiskError, RewardError
from omnithinker.io.closing import Closing
from omnithinker.io.waiting import result_of, wait_for_all
from omnithinker.judge.base import BudgetSpent
from omnithinker.judge.ledger import Ledger
from omnithinker.rewards.base import Component, ComponentOutput, ComponentResult, Progress, combine, gather_all
from omnithinker.types import Prompt, RewardOutput, RolloutGroup, Undefined

STOPS = (BadInput, BudgetSpent, DiskError)
"""Errors with a remedy of their own: they stop the run as they are, whatever ``on_error`` is."""
CLOSE_S = 1.0
"""Seconds to wait for cancelled rewards before they are abandoned."""


class Scorer(Closing):
    """Score groups concurrently, and the components of each group concurrently.

    A component that is a plain function runs in a thread of its own, a coroutine in an event loop. A component that
    exceeds its deadline is undefined for the whole group with cause ``deadline``. A coroutine is cancelled; a thread
    cannot be, so it is abandoned and blocks neither later groups nor the end of the process.

    Args:
        components: per task, its reward components.
        threads: most groups that a component scores at once if it is a plain function. Threads mostly wait for
            sandboxes and verifiers.
        ledger: calls and cost of the judges.
        progress: position of the run, updated by the training loop and read by rewards.
    """

    def __init__(
        self,
        components: Mapping[str, Sequence[Component]],
        threads: int = 16,
        *,
        ledger: Ledger | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.components = components
        self.ledger = ledger or Ledger()
        self.progress = progress or Progress()
        self._threads = threads
        self._slots: dict[int, asyncio.Semaphore] = {}
        # Deadlines run in a loop of their own, so that no reward can block them.
        self._clock = _LoopThread("score")
        self._rewards = _LoopThread("score-async")

    def submit(self, group: RolloutGroup) -> Future[RolloutGroup]:
        """Start scoring a group.

        Returns:
            A future of the group with its scores. Once all components have ended it raises BadInput if one got
            unusable input from the user, such as a wrong key; BudgetSpent if a judge's budget is used up; DiskError
            if a verdict or its cost cannot be written; RewardError, naming the component, if one raised or returned
            anything but G numbers or undefined values while its ``on_error`` is not ``undefined``.
        """
        return asyncio.run_coroutine_threadsafe(self._score(group), self._clock.loop)

    def score(self, groups: Iterable[tuple[int, RolloutGroup]]) -> PendingGroups:
        """Consume (position, group) pairs from a generator and start scoring each as it arrives.

        Returns:
            The groups, all generated, with scores outstanding.
        """
        return PendingGroups({p: self.submit(group) for p, group in groups})

    def close(self) -> None:
        """Stop; outstanding scores are dropped."""
        self._clock.close()
        self._rewards.close()

    async def _score(self, group: RolloutGroup) -> RolloutGroup:
        components = self.components[group.prompt.task]
        columns = await gather_all(self._values(component, group) for component in components)
        scores = tuple(combine(components, values) for values in zip(*columns, strict=True))
        return replace(group, scores=scores)

    async def _values(self, component: Component, group: RolloutGroup) -> Sequence[ComponentOutput]:
        deadline = asyncio.timeout(None)
        try:
            async with deadline:
                values = list(await self._call(component, group, deadline))
        except STOPS:
            raise
        except Exception as error:
            if deadline.expired():
                owner = f"reward {component.name!r} of task {group.prompt.task!r}"
                late = Undefined("deadline", f"{owner} returned nothing within {component.deadline_s:g} s")
                return [late] * len(group.trajectories)
            return [_failed(component, group.prompt, error)] * len(group.trajectories)
        if len(values) != len(group.trajectories):
            message = f"returned {len(values)} values for {len(group.trajectories)} completions"
            return [_failed(component, group.prompt, BadReward("wrong_length", message))] * len(group.trajectories)
        return [_checked(component, group.prompt, one) for one in values]

    async def _call(self, component: Component, group: RolloutGroup, deadline: asyncio.Timeout) -> Any:
        """Call a component; its deadline starts with the call, not with the wait for a thread."""
        work = partial(component.reward.score_group, group.prompt, group.trajectories)

        def start() -> None:
            if component.deadline_s is not None:
                deadline.reschedule(asyncio.get_running_loop().time() + component.deadline_s)

        if inspect.iscoroutinefunction(component.reward.score_group):
            start()
            result: Any = work()
        else:
            slots = asyncio.Semaphore(component.threads or self._threads)
            async with self._slots.setdefault(id(component), slots):
                start()
                result = await _in_thread(work)
        if inspect.isawaitable(result):
            result = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_await(result), self._rewards.loop))
        return result


class PendingGroups:
    """Generated groups whose scores may be outstanding: those of a training step, or of an evaluation."""

    def __init__(self, futures: Mapping[int, Future[RolloutGroup]]) -> None:
        """Wrap the futures of groups.

        Args:
            futures: future of each scored group by the position of its prompt, in order of generation.
        """
        self._futures = futures
        self.waited_s = 0.0
        """Seconds that callers were blocked on rewards."""

    def __len__(self) -> int:
        return len(self._futures)

    def __enter__(self) -> PendingGroups:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Settle if the block fails; a second Ctrl-C does not wait."""
        if isinstance(error, Exception):
            self.settle()

    def group(self, p: int) -> RolloutGroup:
        """Return a scored group; block until it is, and raise what :meth:`Scorer.submit` names."""
        started = time.perf_counter()
        try:
            return result_of(self._futures[p])
        finally:
            self.waited_s += time.perf_counter() - started

    def groups(self) -> list[RolloutGroup]:
        """[P] all scored groups, in the order of the prompts."""
        return [self.group(p) for p in range(len(self))]

    def in_generation_order(self, members: Iterable[int]) -> list[int]:
        """Order some positions as their groups were generated: independent of when scores arrive."""
        selected = set(members)
        return [p for p in self._futures if p in selected]

    def settle(self) -> None:
        """Block until every group is scored or has failed, so that paid verdicts reach the judge's cache."""
        wait_for_all(list(self._futures.values()))


class _LoopThread:
    """An event loop in a daemon thread."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cancel running tasks and end the thread; abandon it if a task does not end."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        self.loop.run_forever()
        for task in (tasks := asyncio.all_tasks(self.loop)):
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Return the result of a call in a new daemon thread; a pool's threads would delay the end of the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def resolve(result: Any, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        outcome: tuple[Any, Exception | None]
        try:
            outcome = (work(), None)
        except Exception as error:
            outcome = (None, error)
        # An abandoned thread may end after the loop is closed.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(resolve, *outcome)

    threading.Thread(target=run, name="score-reward", daemon=True).start()
    return await done


class BadReward(Exception):
    """A reward returned something that is not a reward."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def _checked(component: Component, prompt: Prompt, given: ComponentResult) -> ComponentOutput:
    if isinstance(given, STOPS):
        raise given
    if isinstance(given, Exception):
        return _failed(component, prompt, given)
    value = given.value if isinstance(given, RewardOutput) else given
    if value is None or isinstance(value, Undefined) or (isinstance(value, SupportsFloat) and math.isfinite(value)):
        return given
    message = f"returned {value!r}; expected a finite number, or None for undefined"
    return _failed(component, prompt, BadReward("not_a_number", message))


def _failed(component: Component, prompt: Prompt, error: Exception) -> Undefined:
    """Turn an error of a component into an undefined value if its ``on_error`` allows.

    Raises:
        RewardError: otherwise; names the component.
    """
    if isinstance(error, BadReward):
        cause, message = error.cause, str(error)
    else:
        cause = f"raised_{type(error).__name__}"
        message = f"failed on row {prompt.index}: {type(error).__name__}: {error}"
    if component.on_error == "undefined":
        return Undefined(cause, message)
    raise RewardError(f"reward {component.name!r} of task {prompt.task!r} {message}") from error


async def _await(result: Awaitable[Any]) -> Any:
    return await result
