"""Imports go one way: a module imports only units of lower layers (and its own unit)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "omnithinker"

LAYERS = [
    {"errors", "types"},
    {"settings"},
    {"files", "recipe", "advantages", "losses", "interrupt", "schedule", "selection", "watch"},
    {
        "adaptive",
        "stages",
        "memory",
        "recipe_file",
        "planning",
        "sandbox",
        "judge",
        "lab",
        "runlog",
        "metrics",
        "trackers",
    },
    {"rewards", "view"},
    {"data"},
    {"tasks", "scoring", "policy"},
    {"generation", "checkpoint", "report", "minibatch"},
    {"start", "mishaps"},
    {"evaluate", "train"},
    {"experiment", "integrations"},
    {"study"},
    {"checks"},
    {"cli"},
    {"__main__"},
]
LAYER = {unit: level for level, units in enumerate(LAYERS) for unit in units}


def unit_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(tree: ast.AST) -> set[str]:
    """Units of ours that a module imports anywhere, type-checking blocks left out."""
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "omnithinker":
            names |= {f"omnithinker.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative import"
            names.add(node.module)
    return {name.split(".")[1] for name in names if name.startswith("omnithinker.")} - {"__version__"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down(path):
    unit = unit_of(path)
    if unit == "__init__":
        return
    for imported in imports_of(ast.parse(path.read_text())):
        assert imported == unit or LAYER[imported] < LAYER[unit], f"{unit} must not import {imported}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_file_is_too_long_to_read(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize(
    "module", ["cli", "cli.plan", "cli.score", "cli.report", "cli.study", "planning", "recipe", "report"]
)
def test_starts_without_torch(module):
    code = f"import sys, omnithinker.{module}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
