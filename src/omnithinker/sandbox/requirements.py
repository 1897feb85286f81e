"""Requirements of tests that a sandbox does not meet: packages that are not preloaded, and writable files."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import PathFinder

_OWN_MODULES = ("__future__", "__main__", "solution")
_TEMPORARY = frozenset(
    {"mkdtemp", "mkstemp", "gettempdir", "TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile"}
)
_WRITING = {
    "os": frozenset(["mkdir", "makedirs", "symlink", "mkfifo", "remove", "unlink", "rmdir"]),
    "shutil": frozenset(["rmtree", "copy", "copytree", "move"]),
    "tempfile": _TEMPORARY,
}
_WRITING_METHODS = frozenset({"write_text", "write_bytes", "mkdir", "touch"})
"""Methods of paths."""


def imported_packages(tree: ast.AST) -> Iterator[str]:
    """Yield the packages outside the standard library that a source imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                modules = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case _:
                continue
        for module in modules:
            package = module.partition(".")[0]
            if package not in sys.stdlib_module_names and package not in _OWN_MODULES:
                yield package


@lru_cache(maxsize=4096)
def unmet(sources: tuple[str, ...], preload: tuple[str, ...], *, local: bool) -> str | None:
    """Return what tests need that a sandbox lacks; None if it lacks nothing.

    Args:
        sources: the tests.
        preload: packages that the sandbox preloads.
        local: True if the sandbox has the packages of this interpreter.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: if the tests are not valid Python.
    """
    for position, source in enumerate(sources):
        tree = ast.parse(source)
        for package in _missing_packages(tree, preload, local=local):
            return f"test {position} imports {package!r}: {needs_package(package)}"
        if (call := _writing_call(tree)) is not None:
            return f"test {position}, {call}: a sandbox has no writable files"
    return None


def explain_failure(detail: str) -> str:
    """Return what a program needed that a sandbox lacks, read from the message of its failure; empty if nothing."""
    if (missing := _NO_MODULE.search(detail)) is not None and missing[1] not in sys.stdlib_module_names:
        return needs_package(missing[1])
    return next((reason for sign, reason in _LACKS.items() if sign in detail), "")


def needs_package(package: str) -> str:
    """Return what to do about a package that is not preloaded."""
    return f"install the package {package!r} if need be, and add it to sandbox.preload"


_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '(\w+)")
_LACKS = {
    "PermissionError": "a sandbox has no writable files, processes or network",
    "No usable temporary directory": "a sandbox has no writable files",
    "gaierror": "a sandbox has no network",
}


def _missing_packages(tree: ast.AST, preload: tuple[str, ...], *, local: bool) -> list[str]:
    """Return the packages that a source imports outside ``try`` and the sandbox lacks, sorted."""
    optional = {
        package
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for statement in node.body
        for package in imported_packages(statement)
    }
    needed = sorted({*imported_packages(tree)} - optional - {*preload})
    if not preload:
        return needed
    # One preloaded package makes all installed ones readable.
    return [package for package in needed if local and PathFinder.find_spec(package) is None]


def _writing_call(tree: ast.AST) -> str | None:
    """Return the first call that writes a file, with its line; None if there is none."""
    paths = any(
        isinstance(node, ast.Name | ast.alias) and _name(node) in ("Path", "pathlib") for node in ast.walk(tree)
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _writes(node, paths):
            return f"line {node.lineno}, calls {ast.unparse(node.func)!r}"
    return None


def _name(node: ast.Name | ast.alias) -> str:
    return node.id if isinstance(node, ast.Name) else node.name


def _writes(call: ast.Call, paths: bool) -> bool:
    match call.func:
        case ast.Name(id="open"):
            modes = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "mode")]
            return any(isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+") for mode in modes)
        case ast.Name(id=name):
            return name in _TEMPORARY
        case ast.Attribute(value=ast.Name(id=module), attr=name) if module in _WRITING:
            return name in _WRITING[module]
        case ast.Attribute(attr=name):
            return paths and name in _WRITING_METHODS
    return False
