"""The half of a judge/solver pair that holds the program: does what the judge asks, answers with plain data."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from omnithinker.sandbox.inside.channel import Channel
from omnithinker.sandbox.inside.codec import Encoder, decode

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "get": getattr,
    "set": setattr,
    "item": lambda thing, key: thing[key],
    "put": lambda thing, key, value: thing.__setitem__(key, value),
    "len": len,
    "bool": bool,
    "str": str,
    "iter": iter,
    "next": next,
    "instance": lambda kind, thing: isinstance(thing, kind),
}


class Solver:
    """Answers the judge.

    Args:
        channel: connection to the judge.
        module: the loaded program.
    """

    def __init__(self, channel: Channel, module: types.ModuleType) -> None:
        self._channel = channel
        self._module = module
        # Names of the classes that cross by attributes, such as ListNode.
        self._shared: frozenset[str] = frozenset()
        self._handles: list[Any] = []

    def run(self) -> None:
        """Serve until the judge is gone."""
        while True:
            request = self._channel.receive()
            try:
                reply = self._answer(request)
            except BaseException as error:
                reply = {"raise": [type(error).__name__, _message(error)]}
            self._channel.send(reply)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self._shared = frozenset(request["shared"])
        thing = self._resolve(request["target"])
        arguments, keywords = self._decode(request["arguments"])
        if request["operation"] != "call":
            return {"value": self._encode(_OPERATIONS[request["operation"]](thing, *arguments))}
        before = self._encode([arguments, keywords])
        reply = {"value": self._encode(thing(*arguments, **keywords))}
        after = self._encode([arguments, keywords])
        return reply if after == before else {**reply, "arguments": after}

    def _decode(self, data: Any) -> Any:
        own = self._module.__dict__
        found = {name: own.get(name, own["__builtins__"].get(name)) for name in self._shared}
        classes = {name: thing for name, thing in found.items() if isinstance(thing, type)}
        return decode(data, classes, self._resolve)

    def _encode(self, value: Any) -> Any:
        shared = self._shared
        return Encoder(lambda thing: type(thing).__name__ in shared, self._handle).encode(value)

    def _handle(self, thing: Any) -> Any:
        for number, known in enumerate(self._handles):
            if known is thing:
                return {"r": number}
        self._handles.append(thing)
        return {"r": len(self._handles) - 1}

    def _resolve(self, reference: Any) -> Any:
        return getattr(self._module, reference) if isinstance(reference, str) else self._handles[reference]


def _message(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except BaseException:
        return ""
