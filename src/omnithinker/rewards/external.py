"""Reward functions written for other trainers: ``python:package.module:function`` or ``python:file.py:function``.

Two signatures are recognized by their parameters, each sync or async: TRL's
``f(prompts, completions, **columns) -> list[float | None]`` and verl's
``compute_score(data_source, solution_str, ground_truth, extra_info) -> float | dict``. A function receives the
arguments that it accepts, so without ``**kwargs`` it needs to name only the columns it reads.
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
from typing import Annotated, Any, Self

from pydantic import Field

from omnithinker.config.base import OPERATIONAL
from omnithinker.config.rewards import RewardSettings
from omnithinker.errors import RecipeError
from omnithinker.rewards.base import ComponentResult, GroupScorer, Progress, Reward
from omnithinker.rewards.probes import Probe, ProbeContext, fenced, formatted
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.unit_tests import reference_solution
from omnithinker.types import Prompt, RewardOutput, Trajectory

_NOT_COLUMNS = frozenset(("prompt", "prompts", "completion", "completions", "completion_ids"))
"""Row fields that TRL does not pass as columns."""


class PythonReward(Reward):
    """A function of the user's own, called through its TRL or verl signature."""

    class Settings(RewardSettings):
        """Settings of ``python:`` rewards."""

        kind: str = Field(pattern=r"^python:.+:\w+$")
        """``python:package.module:function``, or ``python:file.py:function`` with the file relative to the recipe."""
        deadline_s: Annotated[float, OPERATIONAL] = Field(300.0, gt=0)
        """Time limit for the completions of one prompt, seconds; past it the component is undefined for them, with
        cause ``deadline``."""
        chat: bool | None = None
        """For TRL functions: True passes prompts and completions as lists of messages, False as texts. By default
        messages are passed if the row's ``prompt`` is a list of messages, as in TRL."""

        @property
        def path(self) -> str:
            """Path of the function, without ``python:``."""
            return self.kind.removeprefix("python:")

        def relative_to(self, folder: Path) -> Self:
            """Return the settings with the path of a Python file resolved against ``folder``."""
            if not self.path.rpartition(":")[0].endswith(".py"):
                return self
            return self.model_copy(update={"kind": f"python:{folder / self.path}"})

    threads = 1
    """Functions written for other trainers expect to be called by one thread."""

    @classmethod
    def build(cls, settings: Settings, place: str, resources: Resources) -> GroupScorer:
        """Import the function; see :func:`load_external`."""
        return load_external(settings.path, place, chat=settings.chat, progress=resources.progress)

    @classmethod
    def probes(cls, row: Mapping[str, Any], context: ProbeContext) -> list[Probe]:
        """Return a completion made from a gold field of the row, whose value is only displayed."""
        solution = reference_solution(row)
        if solution is not None:
            return [Probe("gold", formatted(fenced(solution[1])), None, solution[0], "shown")]
        for field in ("answer", "answers", "reference"):
            if field in row:
                value = row[field][0] if isinstance(row[field], list) and row[field] else row[field]
                return [Probe("gold", formatted(str(value)), None, field, "shown")]
        return [Probe("no gold field", formatted("7"), None, "-", "shown")]


def load_external(path: str, place: str, *, chat: bool | None = None, progress: Progress | None = None) -> GroupScorer:
    """Import a reward function.

    Args:
        path: ``package.module:function`` or ``file.py:function``.
        place: Path of the settings in the recipe, for messages.
        chat: See :class:`TrlFunction`.
        progress: Training progress, for functions that read ``trainer_state``.

    Raises:
        RecipeError: if it cannot be imported or has neither signature.
    """
    source, _, name = path.rpartition(":")
    try:
        function = getattr(_module(source), name)
        parameters = inspect.signature(function).parameters
    except Exception as error:  # a module may raise anything while it is imported
        reason = f"{type(error).__name__}: {error}"
        hint = "" if source.endswith(".py") else "; for a file, write python:file.py:function, relative to the recipe"
        raise RecipeError(f"{place}: cannot import {path!r}: {reason}{hint}") from error
    if "solution_str" in parameters:
        return VerlFunction(function)
    if "completions" in parameters:
        return TrlFunction(function, chat=chat, progress=progress)
    raise RecipeError(
        f"{place}: {path!r} accepts neither 'completions' (TRL) nor 'solution_str' (verl); "
        f"its parameters: {', '.join(parameters)}"
    )


def _module(source: str) -> ModuleType:
    if not source.endswith(".py"):
        return importlib.import_module(source)
    file = Path(source)
    spec = importlib.util.spec_from_file_location(f"omnithinker_reward_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Call:
    """Call a function with those of the available arguments that it accepts."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        parameters = inspect.signature(function).parameters
        has_kwargs = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        self._accepted = None if has_kwargs else frozenset(parameters)

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        accepted = self._accepted
        if accepted is not None:
            arguments = {name: value for name, value in arguments.items() if name in accepted}
        return self._function(**arguments)


@dataclass(frozen=True, slots=True)
class TrainerState:
    """Fields of TRL's ``trainer_state`` that are provided."""

    global_step: int
    """Steps finished."""
    max_steps: int
    """Steps of the whole run; 0 outside training."""


class TrlFunction:
    """A function with TRL's signature, called once per group with the arguments of TRL 1.16.

    These are ``prompts``, ``completions``, ``completion_ids``, every other row field as a column of G values,
    ``trainer_state`` (see :class:`TrainerState`), ``log_extra`` (its columns become details of the completions) and
    ``log_metric`` (its values become metrics of the component). ``None`` means undefined.

    Args:
        function: The function.
        chat: True to pass prompts and completions as lists of messages, ``[{"role": "assistant", "content": text}]``;
            False to pass texts. None passes messages if the row's ``prompt`` is a list of messages, as TRL does.
        progress: Training progress.
    """

    def __init__(
        self, function: Callable[..., Any], *, chat: bool | None = None, progress: Progress | None = None
    ) -> None:
        self._call = _Call(function)
        self._chat = chat
        self._progress = progress or Progress()

    def score_group(
        self, prompt: Prompt, completions: Sequence[Trajectory]
    ) -> Sequence[ComponentResult] | Awaitable[Sequence[ComponentResult]]:
        """Return the function's [G] values; undefined where it returns None."""
        count, logged = len(completions), _Logged(len(completions))
        messages = _messages(prompt.row.get("prompt"))
        chat = messages is not None if self._chat is None else self._chat
        texts = [completion.text for completion in completions]
        trl_prompt: Any = prompt.text
        if chat:
            trl_prompt = messages or [{"role": "user", "content": prompt.text}]
        columns = {name: [value] * count for name, value in prompt.row.items() if name not in _NOT_COLUMNS}
        result = self._call(
            columns
            | {
                "prompts": [trl_prompt] * count,
                "completions": [[{"role": "assistant", "content": text}] for text in texts] if chat else texts,
                "completion_ids": [list(completion.token_ids) for completion in completions],
                "trainer_state": TrainerState(self._progress.step, self._progress.steps),
                "log_extra": logged.extra,
                "log_metric": logged.metric,
            }
        )
        return _await_outputs(result, logged) if inspect.isawaitable(result) else logged.outputs(result)


def _messages(value: Any) -> list[Any] | None:
    """Return the value if it is a list of chat messages, else None."""
    is_chat = isinstance(value, list) and value and all(isinstance(m, Mapping) and "role" in m for m in value)
    return list(value) if is_chat else None


async def _await_outputs(result: Awaitable[Any], logged: _Logged) -> Sequence[ComponentResult]:
    return logged.outputs(await result)


class _Logged:
    """Values that a function logs for a group through TRL's ``log_extra`` and ``log_metric``."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._extra: dict[str, list[Any]] = {}
        self._metrics: dict[str, float] = {}

    def extra(self, column: str, values: Sequence[Any]) -> None:
        """Log one value per completion."""
        if len(values) != self._count:
            raise ValueError(f"log_extra({column!r}) got {len(values)} values for {self._count} completions")
        self._extra[str(column)] = [_plain(value) for value in values]

    def metric(self, name: str, value: float) -> None:
        """Log a number for the group."""
        self._metrics[str(name)] = float(value)

    def outputs(self, values: Any) -> Sequence[ComponentResult]:
        """Return the values together with everything that was logged."""
        values = list(values)
        if not (self._extra or self._metrics) or len(values) != self._count:
            return values  # type: ignore[no-any-return]
        outputs = []
        for g, value in enumerate(values):
            details: dict[str, Any] = {column: extras[g] for column, extras in self._extra.items()}
            outputs.append(RewardOutput(value, details, self._metrics))
        return outputs


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


class VerlFunction:
    """A function with verl's signature, called once per completion.

    ``data_source`` is the row's, or the task's name; ``ground_truth`` is the row's ``reward_model.ground_truth``, or
    its ``answer``; ``extra_info`` is the row's, or the whole row. Of a dict result, ``score`` is the value and the
    other keys become details. ``None`` means undefined.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._call = _Call(function)

    def score_group(
        self, prompt: Prompt, completions: Sequence[Trajectory]
    ) -> Sequence[ComponentResult] | Awaitable[Sequence[ComponentResult]]:
        """Return [G] values; an exception in place of each value for which the function raised one."""
        results = [self._call_one(prompt, completion) for completion in completions]
        if any(inspect.isawaitable(result) for result in results):
            return self._gather(results)
        return [_verl_output(result) for result in results]

    def _call_one(self, prompt: Prompt, completion: Trajectory) -> Any:
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
        except Exception as error:  # the other completions may be fine
            return error

    @staticmethod
    async def _gather(results: Sequence[Any]) -> Sequence[ComponentResult]:
        async def resolve(result: Any) -> Any:
            return await result if inspect.isawaitable(result) else result

        return [_verl_output(result) for result in await asyncio.gather(*map(resolve, results), return_exceptions=True)]


def _verl_output(result: Any) -> ComponentResult:
    if not isinstance(result, Mapping):
        return result  # type: ignore[no-any-return]
    if "score" not in result:
        return ValueError(f"a dict result requires the key 'score'; its keys: {', '.join(map(str, result)) or 'none'}")
    return RewardOutput(result["score"], {str(key): _plain(value) for key, value in result.items() if key != "score"})
