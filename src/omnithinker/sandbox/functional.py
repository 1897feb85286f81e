"""Parse tests written as Python source: code-r1's ``functional`` field and lists of assert statements.

Tests that only compare calls with literals become data (:class:`CallTests`), which is faster and is compared in the
trainer's process. All others stay source and run in the judge.
"""

from __future__ import annotations

import ast
from typing import Any

from omnithinker.errors import DataError
from omnithinker.sandbox.cases import AssertTests, Call, CallTests, Tests


def parse_functional(source: str) -> Tests:
    """Parse ``{"functional": source}``.

    Known shapes: ``_inputs = [...]`` and ``_outputs = [...]`` with a loop that calls the function;
    ``def check(candidate): assert ...`` followed by ``check(...)``.

    Raises:
        DataError: if the source does not parse, or asserts nothing.
    """
    tree = _parse(source)
    return _from_pairs(tree) or _from_check(tree) or _as_source(source, tree)


def parse_asserts(sources: list[str]) -> Tests:
    """Parse a list of assert statements.

    Raises:
        DataError: if a statement does not parse, or asserts nothing.
    """
    trees = [_parse(source) for source in sources]
    for position, tree in enumerate(trees):
        if not _asserts(tree):
            raise DataError(f"tests[{position}] asserts nothing: {sources[position][:60]!r}")
    calls = [_call_of(tree.body[0]) if len(tree.body) == 1 else None for tree in trees]
    names = {call[0] for call in calls if call is not None}
    if None not in calls and len(names) == 1:
        return CallTests(names.pop(), tuple(call[1] for call in calls if call is not None))
    return AssertTests(tuple(sources))


def _parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"test code does not parse: {error}") from error


def _asserts(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(tree))


def _as_source(source: str, tree: ast.Module) -> Tests:
    if not _asserts(tree):
        raise DataError("test code asserts nothing")
    return AssertTests((source,))


def _from_pairs(tree: ast.Module) -> Tests | None:
    """Parse TACO's shape: two literal lists, and a loop over them that calls the function."""
    values = {
        statement.targets[0].id: statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }
    loops = [statement for statement in tree.body if isinstance(statement, ast.For)]
    if not {"_inputs", "_outputs"} <= values.keys() or len(loops) != 1:
        return None
    shape = _loop_shape(loops[0])
    inputs, outputs = _literal(values["_inputs"]), _literal(values["_outputs"])
    if shape is None or not isinstance(inputs, list) or not isinstance(outputs, list) or not inputs:
        return None
    name, first_only = shape
    pairs = list(zip(inputs, outputs, strict=len(inputs) == len(outputs)))
    if not all(isinstance(i, list | tuple) and (not first_only or (isinstance(o, list) and o)) for i, o in pairs):
        return None
    return CallTests(name, tuple(Call(tuple(i), o[0] if first_only else o) for i, o in pairs), 1e-5)


def _loop_shape(loop: ast.For) -> tuple[str, bool] | None:
    """Return the function name, and True if the expected value is ``o[0]``: ``assert _deep_eq(f(*i), o[0])``."""
    if len(loop.body) != 1 or not isinstance(loop.body[0], ast.Assert):
        return None
    test = loop.body[0].test
    if not (isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and len(test.args) == 2):
        return None
    call, expected = test.args
    if not (
        test.func.id == "_deep_eq"
        and isinstance(call, ast.Call)
        and len(call.args) == 1
        and isinstance(call.args[0], ast.Starred)
        and not call.keywords
    ):
        return None
    name = _function_name(call.func)
    if name is None:
        return None
    if isinstance(expected, ast.Name):
        return name, False
    return (name, True) if ast.unparse(expected).endswith("[0]") else None


def _from_check(tree: ast.Module) -> Tests | None:
    """Parse LeetCodeDataset's shape: ``check(candidate)`` with asserts of calls with literals."""
    checks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    uses = [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    if len(checks) != 1 or len(uses) != 1 or len(tree.body) != 2 or len(checks[0].args.args) != 1:
        return None
    use = uses[0].value
    if not (isinstance(use, ast.Call) and isinstance(use.func, ast.Name) and use.func.id == "check"):
        return None
    name = _function_name(use.args[0]) if len(use.args) == 1 else None
    calls = [_call_of(statement) for statement in checks[0].body]
    candidate = checks[0].args.args[0].arg
    if name is None or not calls or not all(call is not None and call[0] == candidate for call in calls):
        return None
    return CallTests(name, tuple(call[1] for call in calls if call is not None))


def _call_of(statement: ast.stmt) -> tuple[str, Call] | None:
    """Return the function name and call of ``assert f(literals) == literal``, else None."""
    if not isinstance(statement, ast.Assert):
        return None
    test = statement.test
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return None
    call, expected = test.left, test.comparators[0]
    if not isinstance(call, ast.Call) or any(keyword.arg is None for keyword in call.keywords):
        return None
    name = _function_name(call.func)
    try:
        arguments = tuple(ast.literal_eval(argument) for argument in call.args)
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
        value = ast.literal_eval(expected)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return None if name is None else (name, Call(arguments, value, keywords))


def _function_name(node: ast.expr) -> str | None:
    """Return ``f``, or ``Solution.m`` for ``Solution().m``."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Call(func=ast.Name(id="Solution"), args=[], keywords=[]), attr=name):
            return f"Solution.{name}"
    return None


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
