"""Rewards written for other trainers, named in a recipe as ``python:package.module:function`` or ``python:file.py:f``.

Two signatures are known by their parameters: TRL's ``f(prompts, completions, **columns) -> list[float | None]`` and
verl's ``compute_score(data_source, solution_str, ground_truth, extra_info) -> float | dict``, each sync or async. A
function is given those arguments that it takes, so one without ``**kwargs`` needs to name only the columns it reads.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from omnithinker.errors import RecipeError
from omnithinker.rewards.base import Given, Progress, Reward
from omnithinker.types import Prompt, RewardOutput, Trajectory

_OWN_ARGUMENTS = frozenset(("prompt", "prompts", "completion", "completions", "completion_ids"))
"""Row fields that TRL does not pass as columns."""


def load_external(path: str, place: str, *, chat: bool | None = None, progress: Progress | None = None) -> Reward:
    """Import a reward function.

    Args:
        path: ``package.module:function`` or ``file.py:function``.
        place: where the recipe names it, for messages.
        chat: see :class:`TrlReward`.
        progress: where the run stands, for functions that ask for ``trainer_state``.

    Raises:
        RecipeError: it cannot be imported, or has neither signature.
    """
    source, _, name = path.rpartition(":")
    try:
        function = getattr(_module(source), name)
        parameters = inspect.signature(function).parameters
    except Exception as error:  # a module may raise anything while it is imported
        reason = f"{type(error).__name__}: {error}"
        hint = "" if source.endswith(".py") else "; a file is named as python:file.py:function, relative to the recipe"
        raise RecipeError(f"{place}: cannot import {path!r}: {reason}{hint}") from error
    if "solution_str" in parameters:
        return VerlReward(function)
    if "completions" in parameters:
        return TrlReward(function, chat=chat, progress=progress)
    raise RecipeError(
        f"{place}: {path!r} takes neither 'completions' (as in TRL) nor 'solution_str' (as in verl); "
        f"it has: {', '.join(parameters)}"
    )


def _module(source: str) -> ModuleType:
    if not source.endswith(".py"):
        return importlib.import_module(source)
    file = Path(source)
    spec = importlib.util.spec_from_file_location(f"omnithinker_reward_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Call:
    """Calls a function with those of the arguments on offer that it takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        parameters = inspect.signature(function).parameters
        anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        self._taken = None if anything else frozenset(parameters)

    def __call__(self, offered: Mapping[str, Any]) -> Any:
        taken = self._taken
        return self._function(**{name: value for name, value in offered.items() if taken is None or name in taken})


@dataclass(frozen=True, slots=True)
class TrainerState:
    """What a TRL function finds in ``trainer_state``, of the many fields there."""

    global_step: int
    """Steps finished."""
    max_steps: int
    """Steps of the whole run; 0 outside training."""


class TrlReward:
    """A function with TRL's signature, called once for a group, with what TRL 1.16 passes.

    That is ``prompts``, ``completions``, ``completion_ids``, every other field of the row as a column of G values,
    ``trainer_state`` (see :class:`TrainerState`), ``log_extra`` (its columns become details of the completions) and
    ``log_metric`` (its values become metrics of the component). ``None`` is undefined.

    Args:
        function: the function.
        chat: whether prompts and completions are lists of messages, ``[{"role": "assistant", "content": text}]``, or
            texts. None: as TRL does, messages if the row's own ``prompt`` is a list of messages.
        progress: where the run stands.
    """

    def __init__(
        self, function: Callable[..., Any], *, chat: bool | None = None, progress: Progress | None = None
    ) -> None:
        self._call = _Call(function)
        self._chat = chat
        self._progress = progress or Progress()

    def score_group(
        self, prompt: Prompt, completions: Sequence[Trajectory]
    ) -> Sequence[Given] | Awaitable[Sequence[Given]]:
        """[G] values of the function; undefined where it says None."""
        count, logged = len(completions), _Logged(len(completions))
        messages = _messages(prompt.row.get("prompt"))
        chat = messages is not None if self._chat is None else self._chat
        texts = [completion.text for completion in completions]
        asked: Any = prompt.text
        if chat:
            asked = messages or [{"role": "user", "content": prompt.text}]
        columns = {name: [value] * count for name, value in prompt.row.items() if name not in _OWN_ARGUMENTS}
        result = self._call(
            columns
            | {
                "prompts": [asked] * count,
                "completions": [[{"role": "assistant", "content": text}] for text in texts] if chat else texts,
                "completion_ids": [list(completion.token_ids) for completion in completions],
                "trainer_state": TrainerState(self._progress.step, self._progress.steps),
                "log_extra": logged.extra,
                "log_metric": logged.metric,
            }
        )
        return _later(result, logged) if inspect.isawaitable(result) else logged.explain(result)


def _messages(value: Any) -> list[Any] | None:
    """The value if it is a list of chat messages."""
    is_chat = isinstance(value, list) and value and all(isinstance(m, Mapping) and "role" in m for m in value)
    return list(value) if is_chat else None


async def _later(result: Awaitable[Any], logged: _Logged) -> Sequence[Given]:
    return logged.explain(await result)


class _Logged:
    """What a function logs of a group through TRL's ``log_extra`` and ``log_metric``."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._extra: dict[str, list[Any]] = {}
        self._metrics: dict[str, float] = {}

    def extra(self, column: str, values: Sequence[Any]) -> None:
        """A value for each completion."""
        if len(values) != self._count:
            raise ValueError(f"log_extra({column!r}) was given {len(values)} values for {self._count} completions")
        self._extra[str(column)] = [_plain(value) for value in values]

    def metric(self, name: str, value: float) -> None:
        """A number for the group."""
        self._metrics[str(name)] = float(value)

    def explain(self, values: Any) -> Sequence[Given]:
        """The values, with what was logged."""
        answers = list(values)
        if not (self._extra or self._metrics) or len(answers) != self._count:
            return answers
        explained = []
        for g, value in enumerate(answers):
            details: dict[str, Any] = {column: extras[g] for column, extras in self._extra.items()}
            explained.append(RewardOutput(value, details, self._metrics))
        return explained


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


class VerlReward:
    """A function with verl's signature, called once per completion.

    ``data_source`` is the row's, or the task's name; ``ground_truth`` is the row's ``reward_model.ground_truth``, or
    its ``answer``; ``extra_info`` is the row's, or the whole row. Of a dict result, ``score`` is the value and the
    rest is told as details. ``None`` is undefined.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._call = _Call(function)

    def score_group(
        self, prompt: Prompt, completions: Sequence[Trajectory]
    ) -> Sequence[Given] | Awaitable[Sequence[Given]]:
        """[G] values; a completion for which the function raised has the exception in its place."""
        results = [self._one(prompt, completion) for completion in completions]
        if any(inspect.isawaitable(result) for result in results):
            return self._gather(results)
        return [_verl_answer(result) for result in results]

    def _one(self, prompt: Prompt, completion: Trajectory) -> Any:
        row = prompt.row
        model = row.get("reward_model")
        truth = model.get("ground_truth") if isinstance(model, Mapping) else row.get("answer")
        try:
            return self._call(
                {
                    "data_source": row.get("data_source", prompt.task),
                    "solution_str": completion.text,
                    "ground_truth": truth,
                    "extra_info": row.get("extra_info", dict(row)),
                }
            )
        except Exception as error:  # handed on in the completion's place: its neighbours may be fine
            return error

    @staticmethod
    async def _gather(results: Sequence[Any]) -> Sequence[Given]:
        async def one(result: Any) -> Any:
            return await result if inspect.isawaitable(result) else result

        return [_verl_answer(result) for result in await asyncio.gather(*map(one, results), return_exceptions=True)]


def _verl_answer(result: Any) -> Given:
    if not isinstance(result, Mapping):
        return result  # type: ignore[no-any-return]
    if "score" not in result:
        return ValueError(f"a dict result needs a key 'score'; it has: {', '.join(map(str, result)) or 'none'}")
    return RewardOutput(result["score"], {str(key): _plain(value) for key, value in result.items() if key != "score"})
