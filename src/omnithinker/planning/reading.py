"""Reading tables of accuracies and ordering matrices from CSV and JSON files."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from omnithinker.errors import DataError, PlanError
from omnithinker.io.files import read_text
from omnithinker.io.layout import ACCURACIES
from omnithinker.io.parsing import parse_json
from omnithinker.planning.accuracies import (
    BASE,
    Accuracies,
    TransferMatrix,
    accuracies_from_dict,
    check_number,
    check_tasks,
)


def as_source(source: Accuracies | TransferMatrix | Mapping[str, Any] | str | Path) -> Accuracies | TransferMatrix:
    """Return the input of a plan unchanged, or read it from a file, a study folder or the value of a JSON file.

    Raises:
        PlanError: if it is invalid.
    """
    if isinstance(source, str | Path):
        return read_accuracies(source)
    return accuracies_from_dict(source) if isinstance(source, Mapping) else source


def read_accuracies(path: Path | str) -> Accuracies:
    """Read a table of accuracies from a CSV file, a JSON file or a study folder.

    CSV has the header ``trained_on,<task>,...``, a row ``base``, one row per trained task and, optionally, a row ``n``
    with the number of test items. Other files are read as JSON.

    Raises:
        PlanError: if the file is missing or is not such a table.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / ACCURACIES).exists():
            raise PlanError(
                f"{path}: no {ACCURACIES} in this folder; give a study whose single-task runs are finished, or a file"
            )
        path = path / ACCURACIES
    if path.suffix.lower() == ".csv":
        return accuracies_from_dict(_accuracies_from_csv(path), str(path))
    return accuracies_from_dict(_read_json(path), str(path))


def read_matrix(path: Path | str) -> TransferMatrix:
    """Read an ordering matrix: CSV with header ``evaluated,<task>,...`` or JSON ``{"tasks", "bwt"}``.

    Rows are evaluated tasks, columns trained tasks. Rows of the CSV may come in any order.

    Raises:
        PlanError: if the file is missing or is not a complete square matrix of numbers.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        return _matrix_from_csv(path)
    value = _read_json(path)
    if not isinstance(value, dict) or not {"tasks", "bwt"} <= set(value):
        raise PlanError(f'{path}: expected {{"tasks": [...], "bwt": [[...]]}}')
    return matrix_from_lists(value["tasks"], value["bwt"], str(path))


def matrix_from_lists(tasks: Any, rows: Any, where: str = "matrix") -> TransferMatrix:
    """Build a matrix from task names and a square list of rows; the diagonal is set to 0.

    Raises:
        PlanError: if names or numbers are invalid.
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


def _read_json(path: Path) -> Any:
    text = read_text(path, PlanError)
    try:
        return parse_json(text)
    except DataError as error:
        advice = ". If it is CSV, its name must end in .csv" if text.lstrip()[:1] not in ("{", "[") else ""
        raise PlanError(f"{path}: {error}{advice}") from error


def _read_csv(path: Path, corner: str) -> tuple[list[str], list[tuple[int, str, list[str]]]]:
    """Return the header names, and (line number, first cell, other cells) of every row."""
    try:
        lines = list(csv.reader(read_text(path, PlanError).splitlines()))
    except csv.Error as error:
        raise PlanError(f"{path}: not valid CSV: {error}") from error
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
        raise PlanError(f"{where}: {text!r} is a percentage; divide by 100")
    try:
        return check_number(float(text), where)
    except ValueError:
        raise PlanError(f"{where}: {text or 'empty cell'!r} is not a number") from None


def _accuracies_from_csv(path: Path) -> dict[str, Any]:
    """Return the JSON form of a CSV table."""
    tasks, rows = _read_csv(path, "trained_on")
    check_tasks(tasks, str(path))
    table: dict[str, Any] = {"tasks": tasks}
    after: dict[str, dict[str, float]] = {}
    for number, name, cells in rows:
        if name in after:
            raise PlanError(f'{path}: line {number}: row "{name}" occurs twice; remove one')
        spots = [f'{path}: line {number}, column "{task}"' for task in tasks]
        after[name] = {task: _cell(cell, spot) for task, cell, spot in zip(tasks, cells, spots, strict=True)}
    if BASE not in after:
        raise PlanError(f"{path}: the row {BASE} (accuracies before training) is missing")
    table["base"] = after.pop(BASE)
    if "n" not in tasks and "n" in after:
        table["n"] = after.pop("n")
    return table | {"after": after}


def _matrix_from_csv(path: Path) -> TransferMatrix:
    tasks, rows = _read_csv(path, "evaluated")
    check_tasks(tasks, str(path))
    values: dict[str, list[float]] = {}
    for number, name, cells in rows:
        if name in values:
            raise PlanError(f'{path}: line {number}: row "{name}" occurs twice; remove one')
        if name not in tasks:
            raise PlanError(f'{path}: line {number}: row "{name}" is not a column of the header')
        # The diagonal is ignored, so it may be empty.
        values[name] = [
            0.0 if task == name else _cell(cell, f'{path}: line {number}, column "{task}"')
            for task, cell in zip(tasks, cells, strict=True)
        ]
    missing = [task for task in tasks if task not in values]
    if missing:
        raise PlanError(f'{path}: the row of "{missing[0]}" is missing')
    return matrix_from_lists(tasks, [values[task] for task in tasks], str(path))
