"""Imports go one way: a module imports only rooms below its own, and no file outgrows a reading."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "omnithinker"

ROOMS = [
    {"errors", "types"},
    {"io"},
    {"ui", "config"},
    {"lab"},
    {"judge", "sandbox", "planning", "schedules"},
    {"rewards"},
    {"data"},
    {"tasks"},
    {"integrations", "policy", "report"},
    {"rollout"},
    {"evals"},
    {"baselines"},
    {"train"},
    {"study"},
    {"checks"},
    {"cli"},
    {"__main__"},
]
"""From bottom to top; rooms of one line do not know each other."""
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
LOOSE_FILES = {"__init__.py", "__main__.py", "errors.py", "types.py"}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a module imports anywhere, type-checking blocks included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "omnithinker":
            names |= {f"omnithinker.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
    return {name.split(".")[1] for name in names if name.startswith("omnithinker.")} - {"__version__"}


def test_imports_go_down():
    upward = [
        f"{path.relative_to(SOURCE)} imports {other}"
        for path in sorted(SOURCE.rglob("*.py"))
        if (room := room_of(path)) != "__init__"
        for other in sorted(imported_rooms(path) - {room})
        if LEVEL[other] >= LEVEL[room]
    ]
    assert upward == []


def test_the_house_fits_a_glance():
    too_long = [path for path in SOURCE.rglob("*.py") if len(path.read_text().splitlines()) > LONGEST_FILE]
    assert too_long == []
    assert {path.name for path in SOURCE.glob("*.py")} == LOOSE_FILES


def test_no_function_outgrows_a_screen():
    functions = [
        (path, node)
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    too_long = [
        f"{path.relative_to(SOURCE)}: {node.name}"
        for path, node in functions
        if node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ]
    assert too_long == []


@pytest.mark.parametrize("module", ["cli", "cli.plan", "cli.score", "cli.report", "cli.study", "planning", "report"])
def test_starts_without_torch(module):
    code = f"import sys, omnithinker.{module}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
