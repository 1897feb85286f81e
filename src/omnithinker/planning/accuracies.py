"""Input of a plan: measured accuracies, or a transfer matrix.

In this package row index i is always the *evaluated* task and column index j the *trained* task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from omnithinker.errors import PlanError

FloatArray = npt.NDArray[np.float64]
"""Array of 64-bit floats."""

LARGEST = 1e300
"""Largest number in a table, small enough for sums of many."""
MAX_ITEMS = 10**9
"""Largest number of test items of a task."""
BASE = "base"
"""Name of the model before training; no task may have it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Accuracies measured during the single-task runs."""

    fraction: float
    """Share of the training that is done, in (0, 1)."""
    after: FloatArray
    """[K, K] accuracy on task i (row) after this share of training on task j (column)."""


@dataclass(frozen=True, slots=True)
class Accuracies:
    """Accuracies of the base model and of K single-task runs, as fractions."""

    tasks: tuple[str, ...]
    """[K] task names."""
    base: FloatArray
    """[K] accuracy of the base model on each task."""
    after: FloatArray
    """[K, K] accuracy on task i (row) after training on task j (column)."""
    n: npt.NDArray[np.int64] | None = None
    """[K] test items per task; None if unknown."""
    items: Mapping[str, FloatArray] | None = None
    """task -> [n_i, K + 1] outcome per item of the base (first column) and after training on each task; NaN where
    undefined. None if unknown."""
    probes: tuple[Probe, ...] = ()
    """Probes by rising fraction."""


@dataclass(frozen=True, slots=True)
class TransferMatrix:
    """An ordering matrix; its diagonal is ignored."""

    tasks: tuple[str, ...]
    """[K] task names."""
    bwt: FloatArray
    """[K, K] gain of task i (row) if task j (column) is trained after it."""


def accuracies_from_dict(value: Any, where: str = "accuracies") -> Accuracies:
    """Check and convert the JSON form of a table of accuracies.

    Args:
        value: ``{"tasks", "base": {task: acc}, "after": {trained: {evaluated: acc}}, "n"?, "items"?, "probes"?}``.
        where: name of the source, for error messages.

    Raises:
        PlanError: if a value is missing, unknown, not a number or out of range.
    """
    table = _mapping(value, where)
    for key in ("tasks", "base", "after"):
        if key not in table:
            raise PlanError(f'{where}: "{key}" is missing; "tasks", "base" and "after" are required')
    unknown = sorted(set(table) - {"tasks", "base", "after", "n", "items", "probes"})
    if unknown:
        raise PlanError(f'{where}: unknown key "{unknown[0]}"; known keys: tasks, base, after, n, items, probes')
    tasks = check_tasks(table["tasks"], where)
    items = _items(table["items"], tasks, where) if table.get("items") is not None else None
    n = _counts(table["n"], tasks, where) if table.get("n") is not None else None
    if n is None and items is not None:
        n = np.array([np.isfinite(items[task]).all(axis=1).sum() for task in tasks], dtype=np.int64)
    return Accuracies(
        tasks,
        np.array([_accuracy_of(table["base"], task, f"{where}: base") for task in tasks]),
        _after(table["after"], tasks, where),
        n,
        items,
        _probes(table.get("probes") or [], tasks, where),
    )


def check_tasks(value: Any, where: str) -> tuple[str, ...]:
    """Check a list of task names: at least two, distinct, not empty, none of them ``base``.

    Raises:
        PlanError: if it is not such a list.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(x, str) for x in value):
        raise PlanError(f'{where}: "tasks" must be a list of names')
    seen: set[str] = set()
    for name in value:
        if not name.strip() or name == BASE:
            raise PlanError(f"{where}: {name!r} cannot be the name of a task; rename it")
        if name in seen:
            raise PlanError(f'{where}: task "{name}" occurs twice; remove or rename one')
        seen.add(name)
    if len(value) < 2:
        raise PlanError(f"{where}: an order needs at least 2 tasks, found {len(value)}")
    return tuple(value)


def check_accuracy(value: Any, where: str) -> float:
    """Return a checked accuracy.

    Raises:
        PlanError: if it is not a finite number in [0, 1].
    """
    number = check_number(value, where)
    if number < 0:
        raise PlanError(f"{where}: accuracy {number:g} is below 0; accuracies are fractions from 0 to 1")
    if number > 1:
        raise PlanError(f"{where}: accuracy {number:g} is above 1; percent? divide by 100")
    return number


def check_number(value: Any, where: str) -> float:
    """Return a checked finite number.

    Raises:
        PlanError: if it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        raise PlanError(f"{where}: {_shown(value)} is not a number")
    return float(value)


def _shown(value: Any) -> str:
    """Return a value in one short line; a whole number may have too many digits to be printed."""
    try:
        text = repr(value)
    except ValueError:
        return "a number with too many digits"
    return text if len(text) <= 40 else f"{text[:40]}…"


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PlanError(f"{where}: expected an object with names as keys, found {type(value).__name__}")
    return value


def _accuracy_of(value: Any, task: str, where: str) -> float:
    row = _mapping(value, where)
    if task not in row:
        raise PlanError(f'{where}: accuracy on task "{task}" is missing; every task needs an accuracy here')
    return check_accuracy(row[task], f'{where}, task "{task}"')


def _check_known(names: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise PlanError(f'{where}: "{unknown[0]}" is not one of {", ".join(known)}')


def _after(value: Any, tasks: Sequence[str], where: str) -> FloatArray:
    """Parse [K, K], transposed: the input maps trained to evaluated tasks."""
    runs = _mapping(value, f"{where}: after")
    _check_known(runs, tasks, f"{where}: after")
    for task in tasks:
        if task not in runs:
            raise PlanError(f'{where}: after: the run trained on "{task}" is missing; every task needs one')
        _check_known(_mapping(runs[task], f"{where}: after {task}"), tasks, f"{where}: after {task}")
    rows = [[_accuracy_of(runs[j], i, f"{where}: after {j}") for j in tasks] for i in tasks]
    return np.array(rows, dtype=np.float64)


def _counts(value: Any, tasks: Sequence[str], where: str) -> npt.NDArray[np.int64]:
    counts = _mapping(value, f"{where}: n")
    _check_known(counts, tasks, f"{where}: n")
    for task in tasks:
        if task not in counts:
            raise PlanError(f'{where}: n: the number of test items of "{task}" is missing; give all or none')
        number = check_number(counts[task], f'{where}: n, task "{task}"')
        if not 1 <= number <= MAX_ITEMS or number != int(number):
            raise PlanError(
                f'{where}: n, task "{task}": {number:g} is not a positive whole number of items (at most {MAX_ITEMS:,})'
            )
    return np.array([int(counts[task]) for task in tasks], dtype=np.int64)


def _items(value: Any, tasks: Sequence[str], where: str) -> dict[str, FloatArray]:
    """Parse task -> [n_i, K + 1]. All models must be evaluated on the same items in the same order."""
    models = _mapping(value, f"{where}: items")
    _check_known(models, (BASE, *tasks), f"{where}: items")
    items = {}
    for task in tasks:
        columns = []
        for model in (BASE, *tasks):
            spot = f'{where}: items of model "{model}", task "{task}"'
            outcomes = _mapping(models.get(model, {}), spot).get(task)
            if not isinstance(outcomes, Sequence) or isinstance(outcomes, str) or not outcomes:
                raise PlanError(f"{spot}: missing or not a list; give one outcome per item, null where undefined")
            columns.append([math.nan if x is None else check_accuracy(x, spot) for x in outcomes])
            if len(columns[-1]) != len(columns[0]):
                raise PlanError(f"{spot}: {len(columns[-1])} outcomes, but the base has {len(columns[0])}")
        items[task] = np.array(columns, dtype=np.float64).T
        if np.isnan(items[task]).all(axis=0).any():
            raise PlanError(f'{where}: items of task "{task}": a model has no defined outcome')
    return items


def _probes(value: Any, tasks: Sequence[str], where: str) -> tuple[Probe, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise PlanError(f'{where}: "probes" must be a list of {{"fraction", "after"}}')
    probes = []
    for index, entry in enumerate(value):
        spot = f"{where}: probes[{index}]"
        probe = _mapping(entry, spot)
        if set(probe) != {"fraction", "after"}:
            raise PlanError(f'{spot}: must have exactly the keys "fraction" and "after"')
        fraction = check_number(probe["fraction"], f"{spot}: fraction")
        if not 0 < fraction < 1:
            raise PlanError(f"{spot}: fraction {fraction:g} is not between 0 and 1; full runs belong in after")
        probes.append(Probe(fraction, _after(probe["after"], tasks, spot)))
    if len({probe.fraction for probe in probes}) < len(probes):
        raise PlanError(f"{where}: probes: a fraction occurs twice")
    return tuple(sorted(probes, key=lambda probe: probe.fraction))
