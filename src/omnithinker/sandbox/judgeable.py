"""Find in source tests which names are the program's, and what they do with it that a judge cannot.

A judge holds only proxies (:mod:`.inside.proxies`). It cannot pass functions to the program or derive classes from the
program's. Tests that need this are invalid for every program; a wrong program cannot make tests invalid, because only
the tests are read.
"""

from __future__ import annotations

import ast
import builtins
import types
from collections.abc import Iterator
from functools import lru_cache

from omnithinker.sandbox.cases import AssertTests
from omnithinker.sandbox.inside import preamble
from omnithinker.sandbox.inside.labels import derived
from omnithinker.sandbox.objects import CLASS_NAME

_READS_OBJECT = ("type", "vars", "dir", "bytes", "copy", "deepcopy", "dumps")
"""Functions that look into an object, of which the judge has only a proxy."""


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


def refuse_unjudgeable(tests: AssertTests, names: list[str], objects: frozenset[str]) -> None:
    """Refuse tests that no program can pass in a judge.

    Args:
        tests: the tests.
        names: the program's names.
        objects: labels of values that the tests use as objects; see :mod:`omnithinker.sandbox.objects`.

    Raises:
        NotJudgeable: names the first such construct.
    """
    for position, source in enumerate(tests.sources):
        factories = {name for name in names if derived(name, "()") in objects}
        factories |= {"candidate"} if tests.entry_point in factories else set()
        reader = _Reader(ast.parse(source), {*names, "candidate"}, factories)
        for node in ast.walk(reader.tree):
            for problem in reader.problems(node):
                raise NotJudgeable(f"test {position}, line {getattr(node, 'lineno', 1)}: {problem}")


class _Reader:
    """Recognizes the program's objects in one source by the names of its classes, such as ``Stack()``, or their use."""

    def __init__(self, tree: ast.Module, names: set[str], factories: set[str]) -> None:
        self.tree = tree
        self.names = names
        self.factories = factories
        self.classes = {name for name in names if CLASS_NAME.fullmatch(name)} | self.factories
        self.functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self.assigned = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        } | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        self.objects: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and (source := self._class_of(node.value)) is not None:
                self.objects |= {target.id: source for target in node.targets if isinstance(target, ast.Name)}

    def _class_of(self, node: ast.expr) -> str | None:
        """Return the class or factory that an object comes from; None for anything else."""
        match node:
            case ast.Name(id=name):
                return self.objects.get(name)
            case ast.Call(func=ast.Name(id=name)) if name in self.classes:
                return name
        return None

    def _is_called_on_program(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute | ast.Call):
            node = node.value if isinstance(node, ast.Attribute) else node.func
        return isinstance(node, ast.Name) and (node.id in self.names or node.id in self.objects)

    def problems(self, node: ast.AST) -> Iterator[str]:
        """Yield what a judge cannot do in this node."""
        match node:
            case ast.ClassDef(bases=bases):
                if any(isinstance(base, ast.Name) and base.id in self.names for base in bases):
                    yield "a subclass of the program's class"
            case ast.With(items=items, body=body):
                # The judge ignores the answer of __exit__: a program could suppress a failed assertion.
                if any(self._is_called_on_program(item.context_expr) for item in items) and any(map(_raises, body)):
                    yield "an exception raised in 'with' on an object of the program"
            case ast.AsyncWith() | ast.AsyncFor():
                yield "'async' in the tests"
            case ast.Attribute(value=value, attr=name) if name.startswith("__") and self._is_called_on_program(value):
                yield f"attribute {name!r} of the program"
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
            case ast.Name(id=name) | ast.Attribute(attr=name), [value, *_] if name in _READS_OBJECT:
                if self._class_of(value) is not None:
                    yield f"{name!r} of the program's object"
            case ast.Name(id="sum"), [ast.List(elts=items) | ast.Tuple(elts=items)]:
                if {self._class_of(item) for item in items} - self.factories - {None}:  # 0 + the first object
                    yield "'sum' of the program's objects"
            case ast.Attribute(value=ast.Name(id="asyncio"), attr="run"), [value, *_]:
                if self._is_called_on_program(value):
                    yield "'asyncio.run' of the program's coroutine"

    def _is_function(self, node: ast.expr) -> bool:
        match node:
            case ast.Lambda() | ast.GeneratorExp():
                return True
            case ast.Name(id=name):
                builtin = isinstance(getattr(builtins, name, None), types.BuiltinFunctionType | type)
                return name in self.functions or (builtin and name not in self.names | self.assigned)
        return False


def _raises(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Raise) for part in ast.walk(node))
