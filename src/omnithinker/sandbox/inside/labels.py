"""Labels: where the tests got a value of the program from, as the judge sees it at run time and in their source.

A label is the shape of the expression that gave the value: ``f`` for a name, ``f()`` for results of calling it,
``.pop`` for an attribute and ``.pop()`` for results of that method, ``f()[]`` for items of results, ``f()+`` for
results of operators on them, and ``f() as`` for the target of ``with``. :mod:`omnithinker.sandbox.objects` finds in the
tests which labels are those of objects; a proxy of :mod:`.proxies` has the rights of its label.
"""

from __future__ import annotations

from typing import Literal

Suffix = Literal["()", "[]", "+", " as"]

_SUFFIXES: dict[str, Suffix] = {
    "call": "()",
    "item": "[]",
    "next": "[]",
    "iter": "[]",
    "reversed": "[]",
    "enter": " as",
}
"""Suffix of an operation's results; those of all others have ``+``."""


def derived(label: str, suffix: Suffix) -> str:
    """Return the label of a value that a call, item, operator or context gives."""
    return label + suffix


def attribute(name: str) -> str:
    """Return the label of an attribute, whatever its object."""
    return f".{name}"


def of_result(label: str, operation: str) -> str:
    """Return the label of the result of a proxy's operation on a value with this label."""
    # Items of an iterator are those of what it iterates over.
    if operation == "next" or (operation in ("iter", "reversed") and label.endswith("[]")):
        return label
    return derived(label, _SUFFIXES.get(operation, "+"))
