"""Encode plain data as JSON between processes; decoding builds exact built-in types only.

Lists, strings, numbers, booleans and None encode as themselves. Any other value is an object with one key, its tag:
``t`` tuple, ``s`` set, ``f`` frozenset, ``d`` dict as pairs, ``l`` deque, ``g`` range, ``b`` bytes, ``i`` large int,
``c`` complex, ``q`` fraction, ``m`` decimal, ``p`` datetime and its kin, ``o`` an index into a table of objects (class
name and attributes), which allows linked lists, trees and graphs of any size.
Subclasses are flattened: a string with its own ``__eq__`` arrives as a string.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

_LARGE = 1 << 256
"""Smallest integer encoded in hexadecimal; Python limits the number of decimal digits it converts."""

_POINTS: dict[str, type[date] | type[time]] = {kind.__name__: kind for kind in (date, datetime, time)}
_PLAIN = {bool, str, float, int, tuple, list, deque, dict, set, frozenset, bytes, bytearray, complex, range}
_LONGEST_NUMBER = 1000
"""Maximum number of digits, and exponent, of a fraction or decimal."""


def is_protocol(name: str) -> bool:
    """Return True for an attribute that the interpreter or a library looks up, such as ``__iter__``."""
    return name.startswith("_") and name.endswith("_")


class Unencodable(ValueError):
    """Raised for a value that is not plain data; the message names its type."""


class Encoder:
    """Encodes values as JSON-ready data.

    Args:
        as_object: returns True for a value of unknown type to encode by class name and attributes.
        as_reference: returns a handle for any other value, or None.
        flatten: False to give instances of subclasses, such as named tuples, a handle too.
    """

    def __init__(
        self,
        as_object: Callable[[Any], bool] = lambda value: False,
        as_reference: Callable[[Any], Any] = lambda value: None,
        *,
        flatten: bool = True,
    ) -> None:
        self._as_object = as_object
        self._as_reference = as_reference
        self._flatten = flatten
        self._indices: dict[int, int] = {}
        self._objects: list[Any] = []

    def encode(self, value: Any) -> Any:
        """Encode one value, with a table of the objects it reaches.

        Raises:
            Unencodable: if a part of the value is not plain data.
            RecursionError: if containers are nested too deeply, or contain themselves.
        """
        data = self._value(value)
        if not self._objects:
            return data
        table: list[Any] = []
        while len(table) < len(self._objects):  # encoding attributes may append further objects
            item = self._objects[len(table)]
            table.append([type(item).__name__, {str(k): self._value(v) for k, v in vars(item).items()}])
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
        if not self._flatten and type(value) not in _PLAIN and isinstance(value, tuple(_PLAIN)):
            return self._as_reference(value)
        match value:
            case bool() | str() | float() | int():
                for base in (bool, int, float, str):
                    if isinstance(value, base):
                        return self._value(base(value))
            case tuple():
                return {"t": [self._value(item) for item in value]}
            case list():
                return [self._value(item) for item in value]
            case deque():
                return {"l": [self._value(item) for item in value]}
            case range():
                return {"g": [self._value(part) for part in (value.start, value.stop, value.step)]}
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
            case Fraction():
                return {"q": [hex(value.numerator), hex(value.denominator)]}
            case Decimal():
                return {"m": str(value)}
            case datetime() | date() | time():
                name = next(kind for kind in ("datetime", "date", "time") if isinstance(value, _POINTS[kind]))
                return {"p": [name, _POINTS[name].isoformat(value)]}  # type: ignore[arg-type]
            case timedelta():
                return {"p": ["timedelta", [value.days, value.seconds, value.microseconds]]}
        if self._as_object(value):
            return {"o": self._index(value)}
        if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
            return self._value(value.tolist())
        reference = self._as_reference(value)
        if reference is None:
            raise Unencodable(f"a value of type {type(value).__name__} is not plain data")
        return reference

    def _index(self, item: Any) -> int:
        if id(item) not in self._indices:
            self._indices[id(item)] = len(self._objects)
            self._objects.append(item)
        return self._indices[id(item)]


def encode(value: Any) -> Any:
    """Encode plain data; see :class:`Encoder`."""
    return Encoder().encode(value)


def decode(
    data: Any,
    classes: Mapping[str, type] | None = None,
    reference: Callable[[Any], Any] | None = None,
    largest: int | None = None,
) -> Any:
    """Decode data of :func:`encode` into built-in types and instances of ``classes``.

    Args:
        data: parsed JSON; may come from a hostile process.
        classes: classes of objects by name; instances are created without running their code.
        reference: resolves handles (tag ``r``) to values.
        largest: maximum size of a set or dict; None for no limit.

    Raises:
        ValueError: if the data has an unknown form, tag or class, or a larger set or dict.
        RecursionError: if the data is nested too deeply.
    """
    try:
        return _Decoder(classes or {}, reference, largest).decode(data)
    except (TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"malformed data: {error}") from error


def is_data(cls: type, name: str) -> bool:
    """Return True if instances may have this attribute: one that hides no method and answers no protocol."""
    inherited = getattr(cls, name, None)
    return not is_protocol(name) and not callable(inherited) and not hasattr(type(inherited), "__get__")


def _short(text: str) -> str:
    """Return the text of a number that is safe to compute with: a fraction's divisor takes quadratic time to find."""
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"a fraction or decimal of {len(text)} digits")
    return text


def _finite(value: Decimal) -> Decimal:
    # Comparisons raise for some of the others, and converting a huge power of ten fills the memory.
    if not value.is_finite() or abs(value.adjusted()) > _LONGEST_NUMBER:
        raise ValueError(f"decimal {value} is out of range")
    return value


class _Decoder:
    def __init__(
        self, classes: Mapping[str, type], reference: Callable[[Any], Any] | None, largest: int | None
    ) -> None:
        self._classes = classes
        self._reference = reference
        self._largest = largest
        self._objects: list[Any] = []

    def decode(self, data: Any) -> Any:
        table: list[Any] = []
        if type(data) is dict and data.keys() == {"v", "objects"}:
            table, data = data["objects"], data["v"]
        for name, _ in table:
            if name not in self._classes:
                raise ValueError(f"an object of class {name!r} is not plain data")
            self._objects.append(object.__new__(self._classes[name]))
        value = self._value(data)
        for instance, (_, attributes) in zip(self._objects, table, strict=True):
            own = {key: self._value(item) for key, item in attributes.items()}
            instance.__dict__.update({key: item for key, item in own.items() if is_data(type(instance), key)})
        return value

    def _value(self, data: Any) -> Any:
        if type(data) is list:
            return [self._value(item) for item in data]
        if type(data) is not dict:
            return data
        if len(data) != 1:
            raise ValueError("malformed data")
        [(tag, body)] = data.items()
        match tag:
            case "t":
                return tuple([self._value(item) for item in body])
            case "d":
                return {self._value(key): self._value(item) for key, item in self._bounded(body)}
            case "s":
                return {self._value(item) for item in self._bounded(body)}
            case "f":
                return frozenset([self._value(item) for item in self._bounded(body)])
            case "b":
                return bytes.fromhex(body)
            case "i":
                return int(body, 16)
            case "c":
                return complex(*body)
            case "q":
                return Fraction(*(int(_short(part), 16) for part in body))
            case "m":
                return _finite(Decimal(_short(body)))
            case "l":
                return deque([self._value(item) for item in body])
            case "g":
                return range(*map(self._value, body))
            case "p":
                name, value = body
                return timedelta(*value) if name == "timedelta" else _POINTS[name].fromisoformat(value)
            case "o":
                return self._objects[body]
            case "r" if self._reference is not None:
                return self._reference(body)
        raise ValueError(f"malformed data: tag {tag!r}")

    def _bounded(self, body: list[Any]) -> list[Any]:
        if self._largest is not None and len(body) > self._largest:
            raise ValueError(f"a set or dict of {len(body)} members, larger than any expected")
        return body
