"""The judge of a judge/solver pair: run the tests, with proxies for the program's names.

The program's answers arrive as plain data of exact built-in types, or as a :class:`Remote` that equals only itself, so
no method of the program takes part in a comparison. A proxy forwards only attributes that the tests spell out: the
interpreter and C libraries look up others, such as ``__array_interface__``, and trust the answer with their memory.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from omnithinker.sandbox.inside.channel import Channel, PeerGone
from omnithinker.sandbox.inside.codec import Encoder, decode, is_protocol
from omnithinker.sandbox.inside.preamble import HELPER_ATTRIBUTES, judge_helpers
from omnithinker.sandbox.inside.report import Reporter, describe_error

_T = TypeVar("_T")


_ENDS_OF_ITERATION = (StopIteration, StopAsyncIteration)
_SIGNALS: dict[str, tuple[type[Exception], ...]] = {
    "get": (AttributeError,),
    "item": (IndexError, KeyError),
    "next": _ENDS_OF_ITERATION,
    "len": (TypeError,),
    "iter": (TypeError,),
}
"""Exceptions that mean something to the interpreter, per operation that may raise them."""


class RemoteError(Exception):
    """Stands for any exception of the program; the interpreter gives it no meaning, as it does to a StopIteration."""

    def __str__(self) -> str:
        return str(self.args[0])


class Link:
    """The judge's connection to the solver.

    Args:
        channel: connection to the solver.
        namespace: namespace of the tests; objects of classes defined there are sent by their attributes.
        attributes: attributes that proxies forward.
        caught: exceptions that the tests name; those of the program also derive from them.
    """

    def __init__(
        self,
        channel: Channel,
        namespace: dict[str, Any],
        attributes: Iterable[str],
        caught: Mapping[str, type[Exception]],
    ) -> None:
        self.channel = channel
        self.caught = caught
        self.namespace = namespace
        self.attributes = {name for name in attributes if not is_protocol(name)}
        self.preamble_classes = _shared_classes(namespace["__builtins__"])
        self.calls = 0
        self.gone = False

    def request(self, operation: str, target: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Have the solver perform an operation; return its result or raise its exception."""
        classes = {**self.preamble_classes, **_shared_classes(self.namespace)}
        types = tuple(classes.values())
        # A value that cannot be sent fails the test: the program may have caused it. What no program can pass is found
        # in the tests themselves, before the run.
        data = Encoder(lambda value: isinstance(value, types), _reference_of).encode([arguments, keywords])
        message = {"operation": operation, "target": target, "arguments": data, "shared": list(classes)}
        try:
            self.channel.send(message)
            reply = self.channel.receive()
            if "raise" in reply:
                raise _ProgramError(self._exception(operation, *reply["raise"]))
            return self._result(reply, arguments, keywords, classes)
        except PeerGone:
            self.gone = True
            raise
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
            self.gone = True
            raise PeerGone(f"the program's process sent a malformed reply: {error}") from error

    def _result(
        self, reply: dict[str, Any], arguments: list[Any], keywords: dict[str, Any], classes: dict[str, type]
    ) -> Any:
        value = self._decode(reply["value"], classes)
        if "arguments" in reply:
            new_arguments, new_keywords = self._decode(reply["arguments"], classes)
            for old, new in zip(arguments, new_arguments, strict=True):
                write_back(old, new)
            for key, new in new_keywords.items():
                write_back(keywords[key], new)
        return value

    def _exception(self, operation: str, names: list[str], text: str) -> Exception:
        """Return the exception for one whose class and base classes have these names."""
        known = {**self.caught, **{kind.__name__: kind for kind in _SIGNALS.get(operation, ())}}
        kinds = [known[name] for name in names if name in known]
        own = [kind for kind in kinds if kind.__module__ != "builtins"]
        standard = [kind for kind in kinds if kind.__module__ == "builtins"][:1]
        try:
            kind: type[RemoteError] = type(names[0], (RemoteError, *own, *standard), {})
            return kind(str(text))
        except TypeError:  # such as UnicodeDecodeError, which takes several arguments
            return RemoteError(f"{names[0]}: {text}")

    def _decode(self, data: Any, classes: dict[str, type]) -> Any:
        return decode(data, classes, lambda reference: Remote(self, reference))


class _ProgramError(BaseException):
    """Carries the program's exception past the handlers of malformed replies."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Remote:
    """Proxy for a function, class or object of the program. Equal only to itself."""

    __slots__ = ("_link", "_target")

    def __init__(self, link: Link, target: Any) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_target", target)

    def _forward(self, operation: str, *arguments: Any, **keywords: Any) -> Any:
        link: Link = object.__getattribute__(self, "_link")
        target = object.__getattribute__(self, "_target")
        if operation in ("get", "set") and arguments[0] not in link.attributes:
            raise AttributeError(f"the tests do not name an attribute {arguments[0]!r}")
        link.calls += operation == "call"
        try:
            return link.request(operation, target, list(arguments), keywords)
        except _ProgramError as raised:
            raise raised.error from None

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function in the program's process."""
        return self._forward("call", *arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        return self._forward("get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._forward("set", name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._forward("item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._forward("put", key, value)

    def __len__(self) -> int:
        return _exactly(int, self._forward("len"))

    def __bool__(self) -> bool:
        return self._forward("bool") is True

    def __str__(self) -> str:
        return _exactly(str, self._forward("str"))

    # Also used for ``in``: membership is decided here, over the items that the program gives.
    def __iter__(self) -> Iterator[Any]:
        return self._forward("iter")  # type: ignore[no-any-return]

    __reversed__ = None
    """None: otherwise ``reversed`` would use ``len`` and items, where an IndexError of the program ends it early."""

    def __next__(self) -> Any:
        return self._forward("next")

    def __instancecheck__(self, value: Any) -> bool:
        return type(value) is Remote and self._forward("instance", value) is True


def _exactly(kind: type[_T], value: Any) -> _T:
    if type(value) is not kind:
        raise TypeError(f"the program's process answered {type(value).__name__} instead of {kind.__name__}")
    return value


def _reference_of(value: Any) -> Any:
    return {"r": object.__getattribute__(value, "_target")} if type(value) is Remote else None


def write_back(old: Any, new: Any) -> None:
    """Copy the contents of the program's copy of a mutable argument back into the argument."""
    if type(old) is not type(new):
        return
    match old:
        case list() | bytearray():
            old[:] = new
        case dict():
            old.clear()
            old.update(new)
        case set():
            old.clear()
            old.update(new)
        case Remote():
            return
        case _ if hasattr(old, "__dict__"):
            old.__dict__.update(new.__dict__)


def run_tests(request: dict[str, Any], names: dict[str, Any], reporter: Reporter, channel: Channel) -> None:
    """Run the tests against the solver. Report one line per test and a last line with the number of calls.

    Args:
        request: ``sources`` of the tests, ``preamble`` source they share, ``entry_point`` or None, ``program``, the
            names that the program supplies, ``uses``, all names that the tests use and do not define, ``attributes``,
            those that they spell out, and ``exceptions``, the names that they catch.
        names: the preamble of data sets, built-ins included; trusted code, not the program's.
        reporter: destination of the report; only the judge holds it.
        channel: connection to the solver.
    """
    namespace: dict[str, Any] = {"__builtins__": {**names, **judge_helpers(names)}, "__name__": "tests"}
    exec(compile(request["preamble"], "<test preamble>", "exec"), namespace)
    sources = request["sources"]
    # The program supplies only these names: the tests must not call a ``len`` or ``is_same_list`` of the program's. A
    # name that it lacks stays undefined, also if the preamble has the same one.
    for name in request["program"]:
        namespace["__builtins__"].pop(name, None)
    caught = _caught(request)
    link = Link(channel, namespace, (*HELPER_ATTRIBUTES, *request["attributes"]), caught)
    try:
        greeting = channel.receive()
    except PeerGone as error:
        reporter.send(stage="gone", error=str(error))
        return
    if "stage" in greeting:
        reporter.send(stage=str(greeting["stage"]), error=str(greeting["error"]))
        return
    for name in set(request["program"]) & set(map(str, greeting["names"])):
        namespace[name] = caught.get(name) or Remote(link, name)
    if request["entry_point"] is not None:
        namespace["candidate"] = namespace.get(request["entry_point"])
    for index, source in enumerate(sources):
        reporter.send(i=index, error=_run_one(source, namespace, link))
        if link.gone:
            reporter.send(stage="gone", error="the program's process ended")
            return
    reporter.send(stage="done", calls=link.calls)


def _caught(request: dict[str, Any]) -> dict[str, type[Exception]]:
    """Return the exceptions that the tests name: built-in ones, and a class of our own for each of the program's."""
    caught = {}
    for name in (*request["uses"], *request["exceptions"]):
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            caught[name] = kind
        elif kind is None and name in request["exceptions"]:
            caught[name] = type(name, (Exception,), {"__module__": "program"})
    return {name: kind for name, kind in caught.items() if kind not in _ENDS_OF_ITERATION}


def _run_one(source: str, namespace: dict[str, Any], link: Link) -> str | None:
    try:
        exec(compile(source, "<test>", "exec"), namespace)
    except PeerGone as error:
        return str(error)
    except BaseException as error:
        return describe_error(error)
    return None


def _shared_classes(namespace: dict[str, Any]) -> dict[str, type]:
    """Return the classes in a namespace that the preamble or the tests define."""
    return {
        name: value
        for name, value in namespace.items()
        if isinstance(value, type) and value.__module__ in ("solution", "tests")
    }
