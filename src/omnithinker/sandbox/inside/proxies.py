"""Proxies for the program's functions, classes and objects, held by the judge.

A proxy forwards only what the tests spell out: calls, items, named attributes, and, for values that the tests use as
objects, operators. The interpreter and C libraries look up other names, such as ``__array_interface__``, and trust the
answer with their memory. See :mod:`omnithinker.sandbox.objects` for the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol, TypeVar

_T = TypeVar("_T")

BINARY = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and", "or", "xor")
"""Operators with a reflected form, such as ``__radd__``, and an in-place form, such as ``__iadd__``."""
COMPARISONS = ("eq", "lt", "le", "gt", "ge")
UNARY = ("neg", "pos", "invert", "abs", "reversed")
CONVERSIONS: dict[str, type] = {"int": int, "float": float, "complex": complex}
"""Operations that answer with a value of one type."""


class ProgramError(BaseException):
    """Carries the program's exception past the handlers of malformed replies."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Connection(Protocol):
    """What a proxy needs to know of the connection to the program."""

    attributes: set[str]
    """Attributes that proxies forward."""
    objects: frozenset[str]
    """Labels of values that the tests use as objects."""
    classes: frozenset[str]
    """Labels of values that may be objects, going by the name: results of ``Vector``. They support operations of one
    operand, whose answers the tests compare as plain data."""

    def request(self, operation: str, target: Any, arguments: list[Any], keywords: dict[str, Any], label: str) -> Any:
        """Have the program's process perform an operation; return its result, with proxies of this label."""
        ...


class Remote:
    """Proxy for a function, class or object of the program.

    Proxies compare with each other as the program says: it has no more freedom there than in the choice of plain
    values. With anything else a proxy is unequal and supports no operators, unless the tests use it as an object.
    """

    __slots__ = ("_label", "_link", "_target")

    def __init__(self, link: Connection, target: Any, label: str) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_label", label)

    def _forward(self, operation: str, *arguments: Any, **keywords: Any) -> Any:
        link: Connection = object.__getattribute__(self, "_link")
        target, label = object.__getattribute__(self, "_target"), object.__getattribute__(self, "_label")
        if operation in _NAMED:
            label = arguments[0]
            if label not in link.attributes:
                raise AttributeError(f"the tests do not name an attribute {label!r}")
        elif operation != "call" and operation not in _IN_PLACE:
            label += "[]" if operation in _ITEMS else " as" if operation == "enter" else "+"
        try:
            return link.request(operation, target, list(arguments), keywords, label)
        except ProgramError as raised:
            raise raised.error from None

    def _is_object(self) -> bool:
        link: Connection = object.__getattribute__(self, "_link")
        return object.__getattribute__(self, "_label") in link.objects

    def _operate(self, operation: str, other: Any) -> Any:
        if type(other) is Remote or Remote._is_object(self):
            return Remote._forward(self, operation, other)
        return NotImplemented

    def _may_be_object(self) -> bool:
        link: Connection = object.__getattribute__(self, "_link")
        label = object.__getattribute__(self, "_label")
        return label in link.objects or label in link.classes

    def _ask(self, operation: str, *arguments: Any) -> Any:
        if not Remote._may_be_object(self):
            raise TypeError(f"the tests do not use this value as an object, so it has no {operation!r}")
        return Remote._forward(self, operation, *arguments)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function in the program's process."""
        return self._forward("call", *arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        return self._forward("get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._forward("set", name, value)

    def __delattr__(self, name: str) -> None:
        self._forward("delete attribute", name)

    def __getitem__(self, key: Any) -> Any:
        return self._forward("item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._forward("put", key, value)

    def __delitem__(self, key: Any) -> None:
        self._forward("delete", key)

    def __len__(self) -> int:
        return exactly(int, self._forward("len"))

    def __bool__(self) -> bool:
        return self._forward("bool") is True

    def __str__(self) -> str:
        return exactly(str, self._forward("str"))

    def __iter__(self) -> Iterator[Any]:
        return self._forward("iter")  # type: ignore[no-any-return]

    def __next__(self) -> Any:
        return self._forward("next")

    def __contains__(self, item: Any) -> bool:
        if self._is_object():
            return self._forward("contains", item) is True
        return any(own is item or own == item for own in self)  # decided here, over the items that the program gives

    def __instancecheck__(self, value: Any) -> bool:
        return type(value) is Remote and self._forward("instance", value) is True

    def __subclasscheck__(self, cls: Any) -> bool:
        return type(cls) is Remote and self._forward("subclass", cls) is True

    def __hash__(self) -> int:
        return exactly(int, self._forward("hash")) if self._may_be_object() else object.__hash__(self)

    def __repr__(self) -> str:
        return exactly(str, self._forward("repr")) if self._may_be_object() else "<a value of the program>"

    def __format__(self, specification: str) -> str:
        return exactly(str, self._ask("format", specification)) if specification else str(self)

    def __round__(self, *digits: Any) -> Any:
        return self._ask("round", *digits)

    def __enter__(self) -> Any:
        return self._ask("enter")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> Literal[False]:
        self._ask("exit", None if kind is None else kind.__name__, str(error or ""))
        return False  # the program must not suppress the failure of an assertion


_IN_PLACE = frozenset(f"i{name}" for name in BINARY)
_NAMED = ("get", "set", "delete attribute")
_ITEMS = ("item", "next", "iter", "reversed")


def exactly(kind: type[_T], value: Any) -> _T:
    """Return the value.

    Raises:
        TypeError: if it is of another type.
    """
    if type(value) is not kind:
        raise TypeError(f"the program's process answered {type(value).__name__} instead of {kind.__name__}")
    return value


def _method(name: str) -> Callable[..., Any]:
    if name in CONVERSIONS:
        return lambda self: exactly(CONVERSIONS[name], Remote._ask(self, name))
    if name in UNARY:
        return lambda self: Remote._ask(self, name)
    if name in COMPARISONS:
        return lambda self, other: (
            answer if (answer := Remote._operate(self, name, other)) is NotImplemented else answer is True
        )
    return lambda self, other: Remote._operate(self, name, other)


for _name in (
    *BINARY,
    *(f"r{name}" for name in BINARY),
    *(f"i{name}" for name in BINARY),
    *COMPARISONS,
    *UNARY,
    *CONVERSIONS,
):
    setattr(Remote, f"__{_name}__", _method(_name))
