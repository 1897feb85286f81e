"""Find in source tests which results of the program are objects of its own classes, rather than plain data.

A judge asks an object for operators, since tests that write ``Vector(1) + Vector(2)`` mean the program's ``+``. It must
not ask a value that should be plain data: ``abs(f(x) - 3) < 1e-6`` would accept any object with a suitable ``-``. Only
the tests can tell one from the other: plain data have no attribute ``push`` and cannot be used in ``with``.

Labels, as :mod:`.inside.labels` defines them, say where a value comes from.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from omnithinker.sandbox.inside.labels import Suffix, attribute, derived
from omnithinker.sandbox.requirements import imported_packages

CLASS_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
"""Names of classes by convention. Some data sets have functions with such names."""
_PLAIN_TYPES = (list, dict, str, set, frozenset, tuple, int, float, complex, bytes, bytearray, deque, Fraction, Decimal)
_PLAIN_ATTRIBUTES = frozenset(name for kind in _PLAIN_TYPES for name in dir(kind))


def object_labels(
    sources: tuple[str, ...], names: set[str], entry_point: str | None = None
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the labels of values that the tests use as objects, and those of objects of the program's classes.

    Tests that import packages, such as numpy, show nothing: their types have attributes too.

    Args:
        sources: the tests, in the order in which they run.
        names: the program's names.
        entry_point: the name that ``candidate`` stands for.

    Raises:
        SyntaxError: if the tests are not valid Python.
    """
    trees = [ast.parse(source) for source in sources]
    if any(package for tree in trees for package in imported_packages(tree)):
        return frozenset(), frozenset()
    classes = frozenset(derived(name, "()") for name in names if CLASS_NAME.fullmatch(name))
    reader = _Labels({name: name for name in names} | ({"candidate": entry_point} if entry_point else {}), classes)
    for tree in trees * 2:  # the second time with the objects of the whole source
        reader.visit(tree)
    return frozenset(reader.objects), classes - reader.demoted


class _Labels(ast.NodeVisitor):
    """Follows variables in the order of the source; a variable has the label of its last assignment in its scope.

    Args:
        names: the program's names, and what they stand for.
        classes: labels of objects of its classes.
    """

    def __init__(self, names: dict[str, str], classes: frozenset[str]) -> None:
        self.names = names
        self.classes = classes
        self.variables: dict[str, str | None] = dict(names)
        self.objects: set[str] = set()
        self.demoted: set[str] = set()

    def label(self, node: ast.expr) -> str | None:
        """Return the label of an expression; None if it is not known to come from the program."""
        match node:
            case ast.Name(id=name):
                return self.variables.get(name)
            case ast.Call(func=function):
                return _derived(self.label(function), "()")
            case ast.Attribute(value=value, attr=name):
                return None if self.label(value) is None else attribute(name)
            case ast.Subscript(value=value):
                return _derived(self.label(value), "[]")
            case ast.BinOp(left=left, right=right):
                return _derived(self.label(left) or self.label(right), "+")
            case ast.NamedExpr(value=value) | ast.Await(value=value):
                return self.label(value)
        return None

    def _is_object(self, label: str | None) -> bool:
        return label in self.objects or label in self.classes

    def _mark(self, label: str | None) -> None:
        if label is not None and label not in self.names.values():
            self.objects.add(label)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)
            self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._bind(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self._bind_label(node.target, _derived(self.label(node.iter), "[]"))
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._bind_label(node.target, _derived(self.label(node.iter), "[]"))
        self.generic_visit(node)

    def _visit_comprehension_expression(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        outer, self.variables = self.variables, dict(self.variables)
        for generator in node.generators:
            self.visit(generator)
        self.visit(node.elt)
        self.variables = outer

    visit_ListComp = visit_SetComp = visit_GeneratorExp = _visit_comprehension_expression

    def _visit_scope(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef) -> None:
        outer, self.variables = self.variables, dict(self.variables)
        if not isinstance(node, ast.ClassDef):
            # ``check(candidate)`` has a parameter of the same name as its argument.
            parameters = {part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)}
            self.variables |= dict.fromkeys(parameters - self.names.keys())
        self.generic_visit(node)
        self.variables = outer

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = _visit_scope

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            label = self.label(item.context_expr)
            self._mark(label)
            if item.optional_vars is not None:
                self._bind_label(item.optional_vars, _derived(label, " as"))
        for statement in node.body:
            self.visit(statement)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        label = self.label(node.value)
        if node.attr not in _PLAIN_ATTRIBUTES or label in self.classes:
            self._mark(label)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        self.generic_visit(node)
        if any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops):
            sides = map(self.label, (node.left, *node.comparators))
            labels = {side for side in sides if side is not None}
            if any(map(self._is_object, labels)):
                for label in labels:
                    self._mark(label)
                if labels - self.classes:  # one proxy cannot have the rights of both; it gets the fewer
                    self.demoted |= labels & self.classes

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
                for kind in _names(kinds):
                    if kind.id in self.names:
                        self._mark(derived(self.names[kind.id], "()"))
        self.generic_visit(node)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        match target, value:
            case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
                for part, source in zip(targets, values, strict=True):
                    self._bind_label(part, self.label(source))
            case _:
                self._bind_label(target, self.label(value))

    def _bind_label(self, target: ast.expr, label: str | None) -> None:
        match target:
            case ast.Name(id=name):
                self.variables[name] = label
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self._bind_label(part, _derived(label, "[]"))
            case ast.Starred(value=value):
                self._bind_label(value, None)


def _derived(label: str | None, suffix: Suffix) -> str | None:
    return None if label is None else derived(label, suffix)


def _names(node: ast.expr) -> Iterator[ast.Name]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Name))
