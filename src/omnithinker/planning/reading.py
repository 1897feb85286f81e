"""Reading tables of accuracies and ordering matrices from CSV and JSON files."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from omnithinker.errors import PlanError
from omnithinker.io.files import read_text
from omnithinker.planning.accuracies import (
    BASE,
    Accuracies,
    TransferMatrix,
    accuracies_from_dict,
    check_number,
    check_tasks,
)

ACCURACIES_FILE = "accuracies.json"
"""Name under which a study folder keeps its table of accuracies."""


def as_source(source: Accuracies | TransferMatrix | Mapping[str, Any] | str | Path) -> Accuracies | TransferMatrix:
    """Return the input of a plan as it is, or read it from a file, a study folder or the value of a JSON file.

    Raises:
        PlanError: if it cannot be planned from.
    """
    if isinstance(source, str | Path):
        return read_accuracies(source)
    return accuracies_from_dict(source) if isinstance(source, Mapping) else source


def read_accuracies(path: Path | str) -> Accuracies:
    """Read a table of accuracies: a JSON file, a CSV file, or a study folder.

    CSV has the header ``trained_on,<task>,...``, a first row ``base`` and one row per trained task; a row ``n`` with
    the number of test items is allowed. Everything else is read as JSON.

    Raises:
        PlanError: the file is missing or cannot be planned from.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / ACCURACIES_FILE).exists():
            raise PlanError(f"{path}: no {ACCURACIES_FILE} in this folder; give a finished study or a file")
        path = path / ACCURACIES_FILE
    if path.suffix.lower() == ".csv":
        return accuracies_from_dict(_accuracies_from_csv(path), str(path))
    return accuracies_from_dict(_read_json(path), str(path))


def read_matrix(path: Path | str) -> TransferMatrix:
    """Read an ordering matrix: CSV with header ``evaluated,<task>,...`` or JSON ``{"tasks", "bwt"}``.

    Rows are evaluated tasks, columns trained tasks. Rows of the CSV may come in any order.

    Raises:
        PlanError: the file is missing or is not a complete square matrix of numbers.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        return _matrix_from_csv(path)
    value = _read_json(path)
    if not isinstance(value, dict) or not {"tasks", "bwt"} <= set(value):
        raise PlanError(f'{path}: expected {{"tasks": [...], "bwt": [[...]]}}')
    return matrix_from_lists(value["tasks"], value["bwt"], str(path))


def matrix_from_lists(tasks: Any, rows: Any, where: str = "matrix") -> TransferMatrix:
    """Check and convert task names and a square list of rows; the diagonal is set to 0.

    Raises:
        PlanError: the names or the numbers cannot be used.
    """
    names = check_tasks(tasks, where)
    size = len(names)
    if not isinstance(rows, list) or len(rows) != size:
        raise PlanError(f"{where}: {size} tasks need {size} rows")
    for name, row in zip(names, rows, strict=True):
        if not isinstance(row, list) or len(row) != size:
            raise PlanError(f'{where}: the row of "{name}" needs {size} numbers')
    values = np.array(
        [
            [
                0.0 if i == j else check_number(value, f'{where}: row "{names[i]}", column "{names[j]}"')
                for j, value in enumerate(row)
            ]
            for i, row in enumerate(rows)
        ],
        dtype=np.float64,
    )
    return TransferMatrix(names, values)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise PlanError(f'"{key}" is given twice in one object; remove one')
        found[key] = value
    return found


def _read_json(path: Path) -> Any:
    text = read_text(path, PlanError)
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from None
    except ValueError as error:
        raise PlanError(f"{path}: not valid JSON: {error}; a table in CSV needs a name ending in .csv") from error


def _read_csv(path: Path, corner: str) -> tuple[list[str], list[tuple[int, str, list[str]]]]:
    """Header names, and (line number, first cell, other cells) of every row."""
    lines = list(csv.reader(read_text(path, PlanError).splitlines()))
    rows = [(number, [cell.strip() for cell in row]) for number, row in enumerate(lines, 1) if any(row)]
    if not rows:
        raise PlanError(f"{path}: empty; expected the header {corner},<task>,...")
    header = rows[0][1]
    if header[0] != corner:
        raise PlanError(f"{path}: line {rows[0][0]}: the header must begin with {corner}, found {header[0]!r}")
    for number, row in rows[1:]:
        if len(row) != len(header):
            raise PlanError(f"{path}: line {number}: {len(row)} cells, but the header has {len(header)}")
    return header[1:], [(number, row[0], row[1:]) for number, row in rows[1:]]


def _cell(text: str, where: str) -> float:
    if text.endswith("%"):
        raise PlanError(f"{where}: {text!r} is percent; divide by 100")
    try:
        return check_number(float(text), where)
    except ValueError:
        raise PlanError(f"{where}: {text or 'empty cell'!r} is not a number") from None


def _accuracies_from_csv(path: Path) -> dict[str, Any]:
    """The JSON form of a CSV table."""
    tasks, rows = _read_csv(path, "trained_on")
    check_tasks(tasks, str(path))
    found: dict[str, dict[str, float]] = {}
    for number, name, cells in rows:
        if name in found:
            raise PlanError(f'{path}: line {number}: row "{name}" is given twice; remove one')
        spots = [f'{path}: line {number}, column "{task}"' for task in tasks]
        found[name] = {task: _cell(cell, spot) for task, cell, spot in zip(tasks, cells, spots, strict=True)}
    if BASE not in found:
        raise PlanError(f"{path}: the row {BASE} (accuracies before training) is missing")
    table: dict[str, Any] = {"tasks": tasks, "base": found.pop(BASE)}
    if "n" not in tasks and "n" in found:
        table["n"] = found.pop("n")
    return table | {"after": found}


def _matrix_from_csv(path: Path) -> TransferMatrix:
    tasks, rows = _read_csv(path, "evaluated")
    check_tasks(tasks, str(path))
    found: dict[str, list[float]] = {}
    for number, name, cells in rows:
        if name in found:
            raise PlanError(f'{path}: line {number}: row "{name}" is given twice; remove one')
        if name not in tasks:
            raise PlanError(f'{path}: line {number}: row "{name}" is not a column of the header')
        # The diagonal does not count, so it may be left empty.
        found[name] = [
            0.0 if task == name else _cell(cell, f'{path}: line {number}, column "{task}"')
            for task, cell in zip(tasks, cells, strict=True)
        ]
    missing = [task for task in tasks if task not in found]
    if missing:
        raise PlanError(f'{path}: the row of "{missing[0]}" is missing')
    return matrix_from_lists(tasks, [found[task] for task in tasks], str(path))
