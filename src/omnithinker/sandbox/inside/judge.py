"""The half of a judge/solver pair that holds the tests: runs them, with stand-ins for the program's names.

What comes back from the program is plain data of exact built-in types, or a :class:`Remote` that is equal to
nothing but itself; so no method written by the program takes part in a comparison.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

from omnithinker.sandbox.inside.channel import Channel, PeerGone
from omnithinker.sandbox.inside.codec import Encoder, Unencodable, decode
from omnithinker.sandbox.inside.preamble import judge_helpers
from omnithinker.sandbox.inside.report import Reporter, describe


class RemoteError(Exception):
    """The program raised an exception of its own kind."""


class Link:
    """The judge's view of the solver.

    Args:
        channel: connection to the solver.
        namespace: of the tests; objects of classes defined in there cross by their attributes.
    """

    def __init__(self, channel: Channel, namespace: dict[str, Any]) -> None:
        self.channel = channel
        self.namespace = namespace
        self.records = {name: thing for name, thing in namespace["__builtins__"].items() if _is_record(thing)}
        self.calls = 0
        self.gone = False
        self.invalid = ""

    def ask(self, operation: str, target: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Have the solver do something and return its result, or raise what it raised."""
        classes = dict(self.records)
        classes.update({name: thing for name, thing in self.namespace.items() if _is_record(thing)})
        kinds = tuple(classes.values())
        try:
            data = Encoder(lambda thing: isinstance(thing, kinds), _reference_of).encode([arguments, keywords])
        except (Unencodable, RecursionError) as error:
            self.invalid = f"a test passes {error}"
            raise
        message = {"operation": operation, "target": target, "arguments": data, "shared": list(classes)}
        try:
            self.channel.send(message)
            reply = self.channel.receive()
            return self._result(reply, arguments, keywords, classes)
        except PeerGone:
            self.gone = True
            raise
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            self.gone = True
            raise PeerGone(f"the program's process sent nonsense: {error}") from error

    def _result(
        self, reply: dict[str, Any], arguments: list[Any], keywords: dict[str, Any], classes: dict[str, type]
    ) -> Any:
        if "raise" in reply:
            name, text = map(str, reply["raise"])
            raise _Raised(_exception(name, text))
        value = self._decode(reply["value"], classes)
        if "arguments" in reply:
            new_arguments, new_keywords = self._decode(reply["arguments"], classes)
            for old, new in zip(arguments, new_arguments, strict=True):
                write_back(old, new)
            for key, new in new_keywords.items():
                write_back(keywords[key], new)
        return value

    def _decode(self, data: Any, classes: dict[str, type]) -> Any:
        return decode(data, classes, lambda reference: Remote(self, reference))


class _Raised(BaseException):
    """Carries what the program raised past the handling of malformed replies."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Remote:
    """Stands for a function, class or object of the program. Equal to itself alone."""

    __slots__ = ("_link", "_target")

    def __init__(self, link: Link, target: Any) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_target", target)

    def _do(self, operation: str, *arguments: Any, **keywords: Any) -> Any:
        link: Link = object.__getattribute__(self, "_link")
        target = object.__getattribute__(self, "_target")
        link.calls += operation == "call"
        try:
            return link.ask(operation, target, list(arguments), keywords)
        except _Raised as raised:
            raise raised.error from None

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call it in the program's process."""
        return self._do("call", *arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        return self._do("get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._do("set", name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._do("item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._do("put", key, value)

    def __len__(self) -> int:
        return int(self._do("len"))

    def __bool__(self) -> bool:
        return self._do("bool") is True

    def __str__(self) -> str:
        return str(self._do("str"))

    # Also decides ``in``: the program is not asked whether it contains something, only what it contains.
    def __iter__(self) -> Iterator[Any]:
        return self._do("iter")  # type: ignore[no-any-return]

    def __next__(self) -> Any:
        return self._do("next")

    def __instancecheck__(self, thing: Any) -> bool:
        return type(thing) is Remote and self._do("instance", thing) is True


def _reference_of(value: Any) -> Any:
    return {"r": object.__getattribute__(value, "_target")} if type(value) is Remote else None


def _exception(name: str, text: str) -> Exception:
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(text)
        except TypeError:  # such as UnicodeDecodeError, which takes more than a text
            return RemoteError(f"{name}: {text}")
    return RemoteError(f"{name}: {text}")


def write_back(old: Any, new: Any) -> None:
    """Give a mutable argument the contents that the program left in its copy."""
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
    """Run the tests against the solver and report, one line per test and a last one with the number of calls.

    Args:
        request: ``sources`` of the tests, ``preamble`` source they share, ``entry_point`` or None, and ``uses``,
            the names that the tests use and do not define.
        names: the preamble of data sets, built-in names included; ours, not the program's.
        reporter: held by the judge alone.
        channel: connection to the solver.
    """
    namespace: dict[str, Any] = {"__builtins__": {**names, **judge_helpers(names)}, "__name__": "tests"}
    exec(compile(request["preamble"], "<test preamble>", "exec"), namespace)
    sources = request["sources"]
    link = Link(channel, namespace)
    try:
        hello = channel.receive()
    except PeerGone as error:
        reporter.send(stage="gone", error=str(error))
        return
    if "stage" in hello:
        reporter.send(stage=str(hello["stage"]), error=str(hello["error"]))
        return
    # Only names that nobody on this side defines may come from the program: one that defines ``len`` or
    # ``is_same_list`` must not get the tests to call it.
    wanted = set(request["uses"]) - namespace.keys() - namespace["__builtins__"].keys() | {request["entry_point"]}
    for name in wanted & set(map(str, hello["names"])):
        namespace[name] = Remote(link, name)
    if request["entry_point"] is not None:
        namespace["candidate"] = namespace.get(request["entry_point"])
    for index, source in enumerate(sources):
        reporter.send(i=index, error=_run_one(source, namespace, link))
        if link.gone:
            reporter.send(stage="gone", error="the program's process ended")
            return
    reporter.send(stage="done", calls=link.calls, invalid=link.invalid)


def _run_one(source: str, namespace: dict[str, Any], link: Link) -> str | None:
    try:
        exec(compile(source, "<test>", "exec"), namespace)
    except PeerGone as error:
        return str(error)
    except BaseException as error:
        return describe(error)
    return None


def _is_record(thing: Any) -> bool:
    """Whether this is a class of the preamble's or the tests' own."""
    return isinstance(thing, type) and thing.__module__ in ("solution", "tests")
