"""Find in source tests which names are the program's, and what they do with it that a judge cannot.

A judge holds only proxies. It cannot pass functions to the program, and it does not ask the program's objects for
operators, since an answer of ``==`` or ``-`` would be the program's verdict on itself. Tests that need this are invalid
for every program; a wrong program cannot make tests invalid, because only the tests are read.
"""

from __future__ import annotations

import ast
import builtins
import re
import types
from collections.abc import Iterator
from functools import lru_cache

from omnithinker.sandbox.cases import AssertTests
from omnithinker.sandbox.inside import preamble

_CLASS_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_ASKS_OBJECT = ("hash", "repr", "reversed", "int", "float", "complex", "abs", "round", "type", "vars", "dir")
_COMPARES_ITEMS = ("sorted", "min", "max", "set", "sum")


class NotJudgeable(ValueError):
    """Raised for tests that no judge can run; the message names the construct and its line."""


@lru_cache(maxsize=1)
def _known() -> tuple[frozenset[str], frozenset[str]]:
    """Return the preamble's functions and classes, and all names that tests may use without defining them."""
    names = preamble.namespace()
    helpers = preamble.judge_helpers(names)
    own = names.keys() - vars(builtins).keys()
    unclear = {name for name in own if callable(names[name]) and not name.startswith(("ListNode", "TreeNode"))}
    return frozenset(unclear), frozenset(names) | frozenset(helpers)


def program_names(tests: AssertTests, uses: tuple[str, ...]) -> list[str]:
    """Return the names that the program must supply.

    These are the names that nothing else defines. If there are none, and no entry point, the tests must be of a
    function that shares its name with one of the preamble (``lcm``) or a built-in (``sum``).

    Args:
        tests: the tests.
        uses: names that they use and do not define.

    Raises:
        NotJudgeable: if it is unclear which names these are.
    """
    unclear, known = _known()
    defined = {node.name for node in ast.walk(ast.parse(tests.preamble)) if isinstance(node, _DEFINITIONS)}
    names = {name for name in uses if name not in known | defined | {"candidate"}}
    if tests.entry_point is not None:
        names.add(tests.entry_point)
    if names:
        return sorted(names)
    builtin = {name for name in uses if isinstance(getattr(builtins, name, None), types.BuiltinFunctionType)}
    candidates = sorted(unclear.intersection(uses) - defined) or sorted(builtin - defined)
    if len(candidates) > 1:
        raise NotJudgeable(f"it is unclear which of {', '.join(candidates)} is the program's")
    return candidates


_DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


def refuse_unjudgeable(tests: AssertTests, names: list[str]) -> None:
    """Refuse tests that no program can pass in a judge.

    Args:
        tests: the tests.
        names: the program's names.

    Raises:
        NotJudgeable: names the first such construct.
    """
    for position, source in enumerate(tests.sources):
        reader = _Reader(ast.parse(source), {*names, "candidate"})
        for node in ast.walk(reader.tree):
            for problem in reader.problems(node):
                raise NotJudgeable(f"test {position}, line {getattr(node, 'lineno', 1)}: {problem}")


class _Reader:
    """Recognizes the program's objects in one source by the names of its classes, such as ``Stack()``."""

    def __init__(self, tree: ast.Module, names: set[str]) -> None:
        self.tree = tree
        self.names = names
        self.functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self.objects: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and self._is_object(node.value):
                self.objects |= {target.id for target in node.targets if isinstance(target, ast.Name)}

    def _is_object(self, node: ast.expr) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self.objects
            case ast.Call(func=ast.Name(id=name)):
                return name in self.names and _CLASS_NAME.fullmatch(name) is not None
        return False

    def _is_called_on_program(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute | ast.Call):
            node = node.value if isinstance(node, ast.Attribute) else node.func
        return isinstance(node, ast.Name) and node.id in self.names | self.objects

    def problems(self, node: ast.AST) -> Iterator[str]:
        """Yield what a judge cannot do in this node."""
        match node:
            case ast.BinOp(left=left, right=right) if self._is_object(left) and self._is_object(right):
                yield "an operator on two objects of the program"
            case ast.Compare(left=left, comparators=[right]) if self._is_object(left) and self._is_object(right):
                if not isinstance(node.ops[0], ast.Is | ast.IsNot):
                    yield "a comparison of two objects of the program"
            case ast.withitem(context_expr=value) if self._is_object(value):
                yield "'with' on an object of the program"
            case ast.Delete(targets=[ast.Subscript(value=value)]) if self._is_object(value):
                yield "'del' of an item of the program's object"
            case ast.ClassDef(bases=bases):
                if any(isinstance(base, ast.Name) and base.id in self.names for base in bases):
                    yield "a subclass of the program's class"
            case ast.Attribute(value=value, attr=name) if name.startswith("__") and self._is_called_on_program(value):
                yield f"attribute {name!r} of the program"
            case ast.FormattedValue(value=value, conversion=114) if self._is_object(value):
                yield "'repr' of the program's object"
            case ast.Await(value=value) if self._is_called_on_program(value):
                yield "'await' of the program's coroutine"
            case ast.Call(func=function, args=arguments):
                yield from self._problems_of_call(function, [*arguments, *(word.value for word in node.keywords)])

    def _problems_of_call(self, function: ast.expr, arguments: list[ast.expr]) -> Iterator[str]:
        if self._is_called_on_program(function):
            if any(map(self._is_function, arguments)):
                yield "a function as an argument of the program's function"
            return
        match function, arguments:
            case ast.Name(id=name), [value, *_] if name in _ASKS_OBJECT and self._is_object(value):
                yield f"{name!r} of the program's object"
            case ast.Name(id=name), [ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items), *_] if (
                name in _COMPARES_ITEMS and any(map(self._is_object, items))
            ):
                yield f"{name!r} of the program's objects"
            case ast.Attribute(value=ast.Name(id="asyncio"), attr="run"), [value, *_]:
                if self._is_called_on_program(value):
                    yield "'asyncio.run' of the program's coroutine"

    def _is_function(self, node: ast.expr) -> bool:
        match node:
            case ast.Lambda() | ast.GeneratorExp():
                return True
            case ast.Name(id=name):
                builtin = isinstance(getattr(builtins, name, None), types.BuiltinFunctionType | type)
                return name in self.functions or (builtin and name not in self.names)
        return False
