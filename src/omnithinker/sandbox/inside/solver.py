"""The solver of a judge/solver pair: perform the judge's operations on the program, answer with plain data."""

from __future__ import annotations

import builtins
import operator
import types
from collections.abc import Callable
from typing import Any

from omnithinker.sandbox.inside.channel import Channel
from omnithinker.sandbox.inside.codec import Encoder, decode
from omnithinker.sandbox.inside.proxies import BINARY, COMPARISONS, reflected


def _operator(name: str) -> Callable[..., Any]:
    return getattr(operator, f"__{name}__")  # type: ignore[no-any-return]


def _exit(manager: Any, kind: str | None, message: str) -> None:
    """Leave a context, with an exception of the built-in type of this name if there is one."""
    if kind is None:
        type(manager).__exit__(manager, None, None, None)
        return
    known = getattr(builtins, kind, None)
    error = known(message) if known in (*Exception.__subclasses__(), KeyError, IndexError) else Exception(message)
    type(manager).__exit__(manager, type(error), error, None)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "get": getattr,
    "set": setattr,
    "item": lambda container, key: container[key],
    "put": lambda container, key, value: container.__setitem__(key, value),
    "len": len,
    "bool": bool,
    "plain": lambda value: value,
    "str": str,
    "iter": iter,
    "next": next,
    "delete attribute": delattr,
    "subclass": lambda cls, value: issubclass(value, cls),
    "instance": lambda cls, value: isinstance(value, cls),
    "delete": operator.delitem,
    "contains": operator.contains,
    "enter": lambda manager: type(manager).__enter__(manager),
    "exit": _exit,
    **{kind.__name__: kind for kind in (repr, hash, int, float, complex, abs, round, reversed, format)},
    **{name: _operator(name) for name in ("neg", "pos", "invert", *BINARY, *COMPARISONS)},
    **{f"r{name}": reflected(name) for name in BINARY},
    **{f"i{name}": _operator(f"i{name}") for name in BINARY},
}


class Solver:
    """Answers the judge's requests.

    Args:
        channel: connection to the judge.
        module: the loaded program.
    """

    def __init__(self, channel: Channel, module: types.ModuleType) -> None:
        self._channel = channel
        self._module = module
        # Names of classes whose objects are sent by their attributes, such as ListNode.
        self._shared: frozenset[str] = frozenset()
        self._handles: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._flatten = True

    def run(self) -> None:
        """Serve until the judge is gone."""
        while True:
            request = self._channel.receive()
            try:
                reply = self._answer(request)
            except BaseException as error:
                reply = {"raise": [[kind.__name__ for kind in type(error).__mro__], *self._description(error)]}
            self._channel.send(reply)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self._shared = frozenset(request["shared"])
        self._flatten = not request["keep"]
        target = self._resolve(request["target"])
        arguments, keywords = self._decode(request["arguments"])
        if request["operation"] != "call":
            return {"value": self._encode(_OPERATIONS[request["operation"]](target, *arguments))}
        before = self._encode([arguments, keywords])
        value = target(*arguments, **keywords)
        reply = {"value": self._encode(value)}
        after = self._encode([arguments, keywords])
        return reply if after == before else {**reply, "arguments": after}

    def _decode(self, data: Any) -> Any:
        own = self._module.__dict__
        values = {name: own.get(name, own["__builtins__"].get(name)) for name in self._shared}
        classes = {name: value for name, value in values.items() if isinstance(value, type)}
        return decode(data, classes, self._resolve)

    def _encode(self, value: Any) -> Any:
        shared = self._shared
        return Encoder(lambda item: type(item).__name__ in shared, self._handle, flatten=self._flatten).encode(value)

    def _description(self, error: BaseException) -> list[Any]:
        """Return an exception's message and encoded attributes."""
        text = _message(error)
        try:
            return [text, self._encode(dict(vars(error)))]
        except BaseException:
            return [text, {"d": []}]

    def _handle(self, value: Any) -> Any:
        number = self._numbers.setdefault(id(value), len(self._handles))
        if number == len(self._handles):
            self._handles.append(value)  # kept, so no other object takes its id
        return {"r": number}

    def _resolve(self, reference: Any) -> Any:
        return getattr(self._module, reference) if isinstance(reference, str) else self._handles[reference]


def _message(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except BaseException:
        return ""
