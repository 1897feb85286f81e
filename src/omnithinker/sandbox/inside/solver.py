"""The solver of a judge/solver pair: perform the judge's operations on the program, answer with plain data."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from omnithinker.sandbox.inside.channel import Channel
from omnithinker.sandbox.inside.codec import Encoder, decode

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "get": getattr,
    "set": setattr,
    "item": lambda container, key: container[key],
    "put": lambda container, key, value: container.__setitem__(key, value),
    "len": len,
    "bool": bool,
    "str": str,
    "iter": iter,
    "next": next,
    "instance": lambda cls, value: isinstance(value, cls),
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

    def run(self) -> None:
        """Serve until the judge is gone."""
        while True:
            request = self._channel.receive()
            try:
                reply = self._answer(request)
            except BaseException as error:
                reply = {"raise": [[kind.__name__ for kind in type(error).__mro__], _message(error)]}
            self._channel.send(reply)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self._shared = frozenset(request["shared"])
        target = self._resolve(request["target"])
        arguments, keywords = self._decode(request["arguments"])
        if request["operation"] != "call":
            return {"value": self._encode(_OPERATIONS[request["operation"]](target, *arguments))}
        before = self._encode([arguments, keywords])
        reply = {"value": self._encode(target(*arguments, **keywords))}
        after = self._encode([arguments, keywords])
        return reply if after == before else {**reply, "arguments": after}

    def _decode(self, data: Any) -> Any:
        own = self._module.__dict__
        values = {name: own.get(name, own["__builtins__"].get(name)) for name in self._shared}
        classes = {name: value for name, value in values.items() if isinstance(value, type)}
        return decode(data, classes, self._resolve)

    def _encode(self, value: Any) -> Any:
        shared = self._shared
        return Encoder(lambda item: type(item).__name__ in shared, self._handle).encode(value)

    def _handle(self, value: Any) -> Any:
        for number, known in enumerate(self._handles):
            if known is value:
                return {"r": number}
        self._handles.append(value)
        return {"r": len(self._handles) - 1}

    def _resolve(self, reference: Any) -> Any:
        return getattr(self._module, reference) if isinstance(reference, str) else self._handles[reference]


def _message(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except BaseException:
        return ""
