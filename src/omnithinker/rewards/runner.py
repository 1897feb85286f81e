"""Scoring groups beside generation: rewards of a group start as soon as it is complete."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from typing import Any, SupportsFloat

from omnithinker.errors import BadInput, DiskError, RewardError
from omnithinker.judge.base import BudgetSpent
from omnithinker.judge.ledger import Ledger
from omnithinker.rewards.base import Component, ComponentOutput, ComponentResult, Progress, combine, gather_all
from omnithinker.types import Prompt, RewardOutput, RolloutGroup, Undefined

STOPS = (BadInput, BudgetSpent, DiskError)
"""Errors that say themselves what the user can do: they end the run as they are, whatever ``on_error`` says."""
CLOSE_S = 1.0
"""Seconds given to rewards that were cancelled before they are left to themselves."""


class Scorer:
    """Scores groups side by side, and the components of each group side by side.

    A component that is a plain function runs in a thread of its own, one that is a coroutine in an event loop. A
    component that passes its deadline is undefined for the whole group with cause ``deadline``: a coroutine is
    cancelled; a thread cannot be, so it is left behind, and holds up neither later groups nor the end of the process.

    Args:
        components: per task, its reward components.
        threads: groups that one component scores at once, where it is a plain function. Threads mostly wait for
            sandboxes and verifiers.
        ledger: what the judges among them did and what it cost.
        progress: told by the training loop where the run stands.
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
        # Deadlines are kept by a loop in which nobody else's code runs, so that nobody can hold it.
        self._clock = _LoopThread("score")
        self._rewards = _LoopThread("score-async")

    def submit(self, group: RolloutGroup) -> Future[RolloutGroup]:
        """Start scoring a group.

        Returns:
            A future of the group with its scores. It raises, when all components have ended: BadInput, when one cannot
            work with what the user gave it, such as a wrong key; BudgetSpent, when a judge's budget is used up;
            DiskError, when what a judge said or cost cannot be written;
            RewardError, naming the component, when one raised or returned something that is not G numbers or
            undefined values, and its settings do not call that undefined.
        """
        return asyncio.run_coroutine_threadsafe(self._score(group), self._clock.loop)

    def close(self) -> None:
        """Stop; what is still being scored is dropped."""
        self._clock.close()
        self._rewards.close()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
                late = Undefined("deadline", f"{owner} gave no answer within {component.deadline_s:g} s")
                return [late] * len(group.trajectories)
            return [_failed(component, group.prompt, error)] * len(group.trajectories)
        if len(values) != len(group.trajectories):
            message = f"returned {len(values)} values for {len(group.trajectories)} completions"
            return [_failed(component, group.prompt, BadReward("wrong_length", message))] * len(group.trajectories)
        return [_checked(component, group.prompt, one) for one in values]

    async def _call(self, component: Component, group: RolloutGroup, deadline: asyncio.Timeout) -> Any:
        """What a component says of a group; its deadline runs from when it starts to work."""
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


class Rollout:
    """Groups that are drawn and being scored: those of a training step, or of an evaluation."""

    def __init__(self, scored: Mapping[int, Future[RolloutGroup]]) -> None:
        """Take them over.

        Args:
            scored: by the position of its prompt, each group, in the order in which they were drawn.
        """
        self._scored = scored
        self.waited_s = 0.0
        """Seconds that callers have stood still for verdicts."""

    def __len__(self) -> int:
        return len(self._scored)

    def group(self, p: int) -> RolloutGroup:
        """A group with its verdicts; waits for them, and raises what :meth:`Scorer.submit` names."""
        started = time.perf_counter()
        try:
            return self._scored[p].result()
        finally:
            self.waited_s += time.perf_counter() - started

    def groups(self) -> list[RolloutGroup]:
        """All groups, in the order of the prompts."""
        return [self.group(p) for p in range(len(self))]

    def as_drawn(self, members: Sequence[int]) -> list[int]:
        """Some positions, in the order in which their groups were drawn: it does not depend on when verdicts come."""
        chosen = set(members)
        return [p for p in self._scored if p in chosen]

    def settle(self) -> None:
        """Wait until everything is scored or has failed: verdicts that are paid for shall be in the judge's cache."""
        wait(self._scored.values())


class _LoopThread:
    """An event loop in a daemon thread."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cancel what runs and end the thread, or leave it behind if something in it does not let go."""
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
    """The result of a call in a new daemon thread. A thread of a pool would be waited for when the process ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        answer: tuple[Any, Exception | None]
        try:
            answer = (work(), None)
        except Exception as error:
            answer = (None, error)
        # Whoever was left behind may end after the loop did.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, *answer)

    threading.Thread(target=run, name="score-reward", daemon=True).start()
    return await done


class BadReward(Exception):
    """What a reward returned is no reward."""

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
    """An error of a component as its settings want it.

    Raises:
        RewardError: errors are to stop the run; names the component.
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
