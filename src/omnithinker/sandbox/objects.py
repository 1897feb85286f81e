"""Find in source tests which results of the program are objects of its own classes, rather than plain data.

A judge asks an object for operators, since tests that write ``Vector(1) + Vector(2)`` mean the program's ``+``. It must
not ask a value that should be plain data: ``abs(f(x) - 3) < 1e-6`` would accept any object with a suitable ``-``. Only
the tests can tell one from the other: plain data have no attribute ``push`` and cannot be used in ``with``.

A *label* names where a value comes from: ``f`` or ``pop`` for results of a function or method (also for attributes),
``f[]`` for items of results of ``f``, ``f+`` for results of operators, ``f as`` for the target of ``with``. The proxies
of :mod:`.inside.proxies` carry the same labels.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

CLASS_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
"""Names of classes by convention. Some data sets have functions with such names."""
_PLAIN_TYPES = (list, dict, str, set, frozenset, tuple, int, float, complex, bytes, bytearray, deque, Fraction, Decimal)
_PLAIN_ATTRIBUTES = frozenset(name for kind in _PLAIN_TYPES for name in dir(kind))


def object_labels(sources: tuple[str, ...], names: set[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the labels of values that the tests use as objects, and those of values that may be, going by the name.

    Tests that import packages, such as numpy, show nothing: their types have attributes too.

    Args:
        sources: the tests, in the order in which they run.
        names: the program's names.

    Raises:
        SyntaxError: if the tests are not valid Python.
    """
    trees = [ast.parse(source) for source in sources]
    if any(_imports_package(node) for tree in trees for node in ast.walk(tree)):
        return frozenset(), frozenset()
    reader = _Labels(names)
    for tree in trees * 2:  # the second time with the objects of the whole source
        reader.visit(tree)
    return frozenset(reader.objects), frozenset(filter(CLASS_NAME.fullmatch, names))


def _imports_package(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=aliases):
            modules = [alias.name for alias in aliases]
        case ast.ImportFrom(module=str(module)):
            modules = [module]
        case _:
            return False
    return any(module.partition(".")[0] not in sys.stdlib_module_names for module in modules)


class _Labels(ast.NodeVisitor):
    """Follows variables in the order of the source; a variable has the label of its last assignment."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.variables: dict[str, str | None] = {}
        self.objects: set[str] = set()

    def label(self, node: ast.expr) -> str | None:
        """Return the label of an expression; None if it is not known to come from the program."""
        match node:
            case ast.Name(id=name):
                return self.variables.get(name)
            case ast.Call(func=ast.Name(id=name)):
                return name if name in self.names else None
            case ast.Call(func=ast.Attribute() as method):
                return self.label(method)
            case ast.Attribute(value=value, attr=name):
                known = self.label(value) is not None or (isinstance(value, ast.Name) and value.id in self.names)
                return name if known else None
            case ast.Subscript(value=value):
                return self._item_label(value)
            case ast.BinOp(left=left, right=right):
                return _with(self.label(left) or self.label(right), "+")
        return None

    def _item_label(self, container: ast.expr) -> str | None:
        if isinstance(container, ast.Name) and container.id in self.names:
            return _with(container.id, "[]")
        return _with(self.label(container), "[]")

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, self.label(node.value))
            self.visit(target)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self._bind(node.target, self._item_label(node.iter))
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._bind(node.target, self._item_label(node.iter))
        self.generic_visit(node)

    def _visit_comprehension_expression(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        for generator in node.generators:
            self.visit(generator)
        self.visit(node.elt)

    visit_ListComp = visit_SetComp = visit_GeneratorExp = _visit_comprehension_expression

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            label = self.label(item.context_expr)
            self.objects |= {label} if label is not None else set()
            if item.optional_vars is not None:
                self._bind(item.optional_vars, _with(label, " as"))
        for statement in node.body:
            self.visit(statement)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        label = self.label(node.value)
        if label is not None and (node.attr not in _PLAIN_ATTRIBUTES or CLASS_NAME.fullmatch(label)):
            self.objects.add(label)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        self.generic_visit(node)
        if any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops):
            sides = map(self.label, (node.left, *node.comparators))
            labels = {side for side in sides if side is not None}
            if any(label in self.objects or CLASS_NAME.fullmatch(label) for label in labels):
                self.objects |= labels

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
                self.objects |= {kind.id for kind in _names(kinds) if kind.id in self.names}
        self.generic_visit(node)

    def _bind(self, target: ast.expr, label: str | None) -> None:
        for name in _names(target):
            self.variables[name.id] = label if isinstance(target, ast.Name) else None


def _with(label: str | None, suffix: str) -> str | None:
    return None if label is None else label + suffix


def _names(node: ast.expr) -> Iterator[ast.Name]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Name))
