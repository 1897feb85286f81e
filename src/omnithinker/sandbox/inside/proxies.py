"""Proxies for the program's functions, classes and objects, held by the judge.

A proxy forwards only what the tests spell out: calls, items, named attributes, and, for values that the tests use as
objects, operators. The interpreter and C libraries look up other names, such as ``__array_interface__``, and trust the
answer with their memory. What a proxy may do depends on its label alone; see :mod:`.labels`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol, TypeVar

from omnithinker.sandbox.inside import labels

_T = TypeVar("_T")

BINARY = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and", "or", "xor")
"""Operators with a reflected form, such as ``__radd__``, and an in-place form, such as ``__iadd__``."""
COMPARISONS = ("eq", "lt", "le", "gt", "ge")
UNARY = ("neg", "pos", "invert", "abs", "reversed")
CONVERSIONS: dict[str, type] = {"int": int, "float": float, "complex": complex}
"""Operations that answer with a value of one type."""


def reflected(name: str) -> Callable[[Any, Any], Any]:
    """Return an operator with swapped operands."""
    operate = getattr(operator, f"__{name}__")
    return lambda right, left: operate(left, right)


class ProgramError(BaseException):
    """Carries the program's exception past the handlers of malformed replies."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Connection(Protocol):
    """Connection of a proxy to the program."""

    attributes: set[str]
    """Attributes that proxies forward."""
    objects: frozenset[str]
    """Labels of values that the tests use as objects."""
    classes: frozenset[str]
    """Labels of objects of the program's classes, going by the name: ``Vector()``."""

    def request(self, operation: str, target: Any, arguments: list[Any], keywords: dict[str, Any], label: str) -> Any:
        """Have the program's process perform an operation; return its result, with proxies of this label."""
        ...


Rights = Literal["none", "one operand", "proxies", "all"]
"""Permissions of a value's operators; see :func:`rights`."""


def rights(link: Connection, label: str) -> Rights:
    """Return the rights of a value.

    - ``none``: the tests do not use it as an object. It compares with other proxies alone.
    - ``one operand``: a result of a name such as ``Vector``, of which the tests show nothing else. ``abs``, ``hash``,
      ``int`` and so on give answers that the tests compare.
    - ``proxies``: a result that the tests use as an object. Operators with the tests' values give further objects,
      never a value or an answer that the tests would compare with what they expect.
    - ``all``: an object of a class under test. The tests ask for its answers, as they ask its methods.
    """
    if label in link.objects:
        return "all" if label in link.classes else "proxies"
    return "one operand" if label in link.classes else "none"


class Remote:
    """Proxy for a function, class or object of the program.

    Proxies compare with each other as the program says: it has no more freedom there than in the choice of plain
    values. Anything else depends on the :data:`Rights` of the value.
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
            if arguments[0] not in link.attributes:
                raise AttributeError(f"the tests do not name an attribute {arguments[0]!r}")
            label = labels.attribute(arguments[0])
        elif operation == "plain":
            label = ""
        elif operation not in _IN_PLACE:
            label = labels.of_result(label, operation)
        try:
            return link.request(operation, target, list(arguments), keywords, label)
        except ProgramError as raised:
            raise raised.error from None

    def _rights(self) -> Rights:
        return rights(object.__getattribute__(self, "_link"), object.__getattribute__(self, "_label"))

    def _operate(self, name: str, other: Any) -> Any:
        own_rights = Remote._rights(self)
        if type(other) is Remote or own_rights == "all":
            return Remote._forward(self, name, other)
        if own_rights != "proxies":
            return NotImplemented
        own = Remote._forward(self, "plain") if name not in _IN_PLACE else self
        if type(own) is not Remote:  # such as a named tuple: compared here, and the program does not learn with what
            return _OPERATORS[name](own, other)
        answer = NotImplemented if name in COMPARISONS else Remote._forward(self, name, other)
        return answer if type(answer) is Remote else NotImplemented

    def _ask(self, operation: str, *arguments: Any) -> Any:
        if Remote._rights(self) == "none":
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
        own_rights = self._rights()
        if own_rights == "all" or (own_rights == "proxies" and type(item) is Remote):
            return self._forward("contains", item) is True
        own = self._forward("plain") if own_rights == "proxies" else self
        if type(own) is not Remote:
            return item in own
        return any(part is item or part == item for part in self)  # decided here, over the items that the program gives

    def __instancecheck__(self, value: Any) -> bool:
        return type(value) is Remote and self._forward("instance", value) is True

    def __subclasscheck__(self, cls: Any) -> bool:
        return type(cls) is Remote and self._forward("subclass", cls) is True

    def __hash__(self) -> int:
        return exactly(int, self._forward("hash")) if self._rights() != "none" else object.__hash__(self)

    def __repr__(self) -> str:
        return exactly(str, self._forward("repr")) if self._rights() != "none" else "<a value of the program>"

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
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, f"__{name}__") for name in (*BINARY, *COMPARISONS)
} | {f"r{name}": reflected(name) for name in BINARY}


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
