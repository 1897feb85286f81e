"""Plain data across a process border, as JSON: what comes out is built from exact built-in types only.

Lists, strings, numbers, booleans and None stand for themselves; other values are objects with one key, their tag:
``t`` tuple, ``s`` set, ``f`` frozenset, ``d`` dict as pairs, ``b`` bytes, ``i`` large int, ``c`` complex, ``o``
an object by its number in the table of objects (class name and attributes), so that linked lists, trees
and graphs of any length cross. Subclasses are flattened: a string with its own ``__eq__`` arrives as a string.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

_LARGE = 1 << 256
"""From here on integers cross as hexadecimal: Python limits the decimal digits it converts."""


class Unencodable(ValueError):
    """A value is not plain data; the message names its type."""


class Encoder:
    """Turns values into JSON-ready data.

    Args:
        as_object: says whether a value of unknown type crosses by class name and attributes.
        as_reference: turns what remains into a handle, or returns None.
    """

    def __init__(
        self,
        as_object: Callable[[Any], bool] = lambda value: False,
        as_reference: Callable[[Any], Any] = lambda value: None,
    ) -> None:
        self._as_object = as_object
        self._as_reference = as_reference
        self._numbers: dict[int, int] = {}
        self._queue: list[Any] = []

    def encode(self, value: Any) -> Any:
        """Data for one value, with the table of objects it reaches.

        Raises:
            Unencodable: a part of it is not plain data.
            RecursionError: containers nested too deeply, or containing themselves.
        """
        data = self._value(value)
        if not self._queue:
            return data
        table = []
        position = 0
        while position < len(self._queue):
            thing = self._queue[position]
            table.append([type(thing).__name__, {str(k): self._value(v) for k, v in vars(thing).items()}])
            position += 1
        return {"v": data, "objects": table}

    def _value(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (bool, str, float):
            return value
        if kind is int:
            return value if -_LARGE < value < _LARGE else {"i": hex(value)}
        if kind is list:
            return [self._value(item) for item in value]
        return self._other(value)

    def _other(self, value: Any) -> Any:
        match value:
            case bool() | str() | float() | int():
                for base in (bool, int, float, str):
                    if isinstance(value, base):
                        return self._value(base(value))
            case tuple():
                return {"t": [self._value(item) for item in value]}
            case list() | deque():
                return [self._value(item) for item in value]
            case dict():
                return {"d": [[self._value(key), self._value(item)] for key, item in value.items()]}
            case set():
                return {"s": [self._value(item) for item in value]}
            case frozenset():
                return {"f": [self._value(item) for item in value]}
            case bytes() | bytearray():
                return {"b": bytes(value).hex()}
            case complex():
                return {"c": [value.real, value.imag]}
        if self._as_object(value):
            return {"o": self._number(value)}
        if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
            return self._value(value.tolist())
        reference = self._as_reference(value)
        if reference is None:
            raise Unencodable(f"a value of type {type(value).__name__} is not plain data")
        return reference

    def _number(self, thing: Any) -> int:
        if id(thing) not in self._numbers:
            self._numbers[id(thing)] = len(self._queue)
            self._queue.append(thing)
        return self._numbers[id(thing)]


def encode(value: Any) -> Any:
    """Encode plain data; see :class:`Encoder`."""
    return Encoder().encode(value)


def decode(data: Any, classes: Mapping[str, type] | None = None, reference: Callable[[Any], Any] | None = None) -> Any:
    """Rebuild a value from :func:`encode`'s data, from built-in types and ``classes`` alone.

    Args:
        data: parsed JSON; may come from a hostile process.
        classes: classes by name that objects may be rebuilt as, without running their code.
        reference: turns handles (tag ``r``) into values.

    Raises:
        ValueError: the data has an unknown form, tag or class.
        RecursionError: the data is nested too deeply.
    """
    things: list[Any] = []
    table: list[Any] = []
    if type(data) is dict and set(data) == {"v", "objects"}:
        table, data = data["objects"], data["v"]
        for name, _ in table:
            if not classes or name not in classes:
                raise ValueError(f"an object of class {name!r} is not plain data")
            things.append(object.__new__(classes[name]))
    value = _decode(data, things, reference)
    for thing, (_, attributes) in zip(things, table, strict=True):
        thing.__dict__.update({key: _decode(item, things, reference) for key, item in attributes.items()})
    return value


def _decode(data: Any, things: list[Any], reference: Callable[[Any], Any] | None) -> Any:
    if type(data) is list:
        return [_decode(item, things, reference) for item in data]
    if type(data) is not dict:
        return data
    if len(data) != 1:
        raise ValueError("malformed data")
    [(tag, body)] = data.items()
    try:
        match tag:
            case "t":
                return tuple(_decode(item, things, reference) for item in body)
            case "d":
                return {_decode(k, things, reference): _decode(v, things, reference) for k, v in body}
            case "s":
                return {_decode(item, things, reference) for item in body}
            case "f":
                return frozenset(_decode(item, things, reference) for item in body)
            case "b":
                return bytes.fromhex(body)
            case "i":
                return int(body, 16)
            case "c":
                return complex(*body)
            case "o":
                return things[body]
            case "r" if reference is not None:
                return reference(body)
    except (TypeError, IndexError) as error:
        raise ValueError(f"malformed data: {error}") from error
    raise ValueError(f"malformed data: tag {tag!r}")
