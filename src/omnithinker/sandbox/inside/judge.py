"""The judge of a judge/solver pair: run the tests, with proxies for the program's names.

The program's answers arrive as plain data of exact built-in types, or as a :class:`Remote`, so no method of the program
takes part in a comparison with the tests' values; see :mod:`.proxies`.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any

from omnithinker.sandbox.inside.channel import Channel, PeerGone
from omnithinker.sandbox.inside.codec import Encoder, decode, is_data, is_protocol
from omnithinker.sandbox.inside.labels import derived
from omnithinker.sandbox.inside.preamble import HELPER_ATTRIBUTES, judge_helpers
from omnithinker.sandbox.inside.proxies import ProgramError, Remote, Rights, rights
from omnithinker.sandbox.inside.report import Reporter, describe_error

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
        preamble_classes: classes of the preamble, whose objects are sent by their attributes too.
        attributes: attributes that proxies forward.
        caught: exceptions that the tests name; those of the program also derive from them.
        objects: labels of values that the tests use as objects.
        classes: labels of objects of the program's classes.
    """

    def __init__(
        self,
        channel: Channel,
        namespace: dict[str, Any],
        preamble_classes: dict[str, type],
        attributes: Iterable[str],
        caught: Mapping[str, type[Exception]],
        objects: frozenset[str],
        classes: frozenset[str],
    ) -> None:
        self.channel = channel
        self.caught = caught
        self.namespace = namespace
        self.attributes = {name for name in attributes if not is_protocol(name)}
        self.preamble_classes = preamble_classes
        self.objects, self.classes = objects, classes
        self.requests = 0
        self._proxies: dict[tuple[int, Rights], Remote] = {}
        self.gone = False

    def request(self, operation: str, target: Any, arguments: list[Any], keywords: dict[str, Any], label: str) -> Any:
        """Have the solver perform an operation; return its result, with proxies of this label, or raise its error."""
        classes = {**self.preamble_classes, **_shared_classes(self.namespace)}
        types = tuple(classes.values())
        # A value that cannot be sent fails the test: the program may have caused it. What no program can pass is found
        # in the tests themselves, before the run.
        data = Encoder(lambda value: isinstance(value, types), _reference_of).encode([arguments, keywords])
        keep = label in self.objects or derived(label, "[]") in self.objects
        message = {"operation": operation, "target": target, "arguments": data, "shared": list(classes), "keep": keep}
        self.requests += 1
        try:
            self.channel.send(message)
            reply = self.channel.receive()
            if "raise" in reply:
                names, text, attributes = reply["raise"]
                raise ProgramError(self._exception(operation, names, text, self._decode(attributes, classes, "")))
            value = self._decode(reply["value"], classes, label)
            if operation == "call" and "arguments" in reply:
                self._write_back(reply["arguments"], arguments, keywords, classes)
            return value
        except PeerGone:
            self.gone = True
            raise
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
            self.gone = True
            raise PeerGone(f"the program's process sent a malformed reply: {error}") from error

    def _write_back(self, data: Any, arguments: list[Any], keywords: dict[str, Any], classes: dict[str, type]) -> None:
        new_arguments, new_keywords = self._decode(data, classes, "")
        for old, new in zip(arguments, new_arguments, strict=True):
            write_back(old, new)
        for key, new in new_keywords.items():
            write_back(keywords[key], new)

    def _exception(self, operation: str, names: list[str], text: str, attributes: dict[str, Any]) -> Exception:
        """Return the exception for one whose class and base classes have these names."""
        known = {**self.caught, **{kind.__name__: kind for kind in _SIGNALS.get(operation, ())}}
        kinds = [known[name] for name in names if name in known]
        own = [kind for kind in kinds if kind.__module__ != "builtins"]
        standard = [kind for kind in kinds if kind.__module__ == "builtins"][:1]
        try:
            kind: type[RemoteError] = type(names[0], (RemoteError, *own, *standard), {})
            error = kind(str(text))
            error.__dict__.update({key: value for key, value in attributes.items() if is_data(kind, key)})
            return error
        except TypeError:  # such as UnicodeDecodeError, which takes several arguments
            return RemoteError(f"{names[0]}: {text}")

    def _decode(self, data: Any, classes: dict[str, type], label: str) -> Any:
        if type(data) is not dict or data.keys() != {"r"}:
            label = derived(label, "[]")  # a proxy is then an item
        return decode(data, classes, lambda handle: self._proxy(handle, label))

    def _proxy(self, handle: Any, label: str) -> Remote:
        """Return the proxy for a handle. Tests may compare objects by ``is``, so an object keeps its proxy."""
        if type(handle) is not int:  # a name would give the program's value the rights of that name
            raise TypeError("a handle is a number")
        # The rights of a proxy depend on where the tests got it, not on what the program sent there.
        key = handle, rights(self, label)
        proxy = self._proxies.get(key)
        if proxy is None:
            proxy = self._proxies[key] = Remote(self, handle, label)
        return proxy


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
    """Run the tests against the solver. Report one line per test and a last one with the number of requests.

    Args:
        request: ``sources`` of the tests, ``preamble`` source they share, ``entry_point`` or None, ``program``, the
            names that the program supplies, ``uses``, all names that the tests use and do not define, ``attributes``,
            those that they spell out, ``exceptions``, the names that they catch, and ``objects`` and ``classes``,
            labels; see :mod:`omnithinker.sandbox.objects`.
        names: the preamble of data sets, built-ins included; trusted code, not the program's.
        reporter: destination of the report; only the judge holds it.
        channel: connection to the solver.
    """
    builtin, preamble_classes = _prepared(names)
    # The program supplies only these names: the tests must not call a ``len`` or ``is_same_list`` of the program's. A
    # name that it lacks stays undefined, also if the preamble has the same one.
    program = set(request["program"])
    if not builtin.keys().isdisjoint(program):  # looks up the few names; the other way round would touch them all
        builtin = {name: value for name, value in builtin.items() if name not in program}
    namespace: dict[str, Any] = {"__builtins__": builtin, "__name__": "tests"}
    exec(compile(request["preamble"], "<test preamble>", "exec"), namespace)
    sources = request["sources"]
    classes = {name: kind for name, kind in preamble_classes.items() if name not in program}
    caught = _caught(request)
    labels = frozenset(request["objects"]), frozenset(request["classes"])
    link = Link(channel, namespace, classes, (*HELPER_ATTRIBUTES, *request["attributes"]), caught, *labels)
    try:
        greeting = channel.receive()
    except PeerGone as error:
        reporter.send(stage="gone", error=str(error))
        return
    if "stage" in greeting:
        reporter.send(stage=str(greeting["stage"]), error=str(greeting["error"]))
        return
    for name in program & set(map(str, greeting["names"])):
        namespace[name] = caught.get(name) or Remote(link, name, name)
    if request["entry_point"] is not None:
        namespace["candidate"] = namespace.get(request["entry_point"])
    for index, source in enumerate(sources):
        reporter.send(i=index, error=_run_one(source, namespace, link))
        if link.gone:
            reporter.send(stage="gone", error="the program's process ended")
            return
    reporter.send(stage="done", calls=link.requests)


_PREPARED: dict[int, tuple[dict[str, Any], dict[str, type]]] = {}
"""Built-ins of tests, by identity of the preamble: made once in the fork server, since a copy touches every value."""


def _prepared(names: dict[str, Any]) -> tuple[dict[str, Any], dict[str, type]]:
    """Return the preamble's names together with the helpers of tests, and its classes."""
    if id(names) not in _PREPARED:
        _PREPARED[id(names)] = {**names, **judge_helpers(names)}, _shared_classes(names)
    return _PREPARED[id(names)]


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
