"""Output folders: create them, refuse results of other settings, read results. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from omnithinker.config.file import changed_settings, load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.errors import BadInput
from omnithinker.io.files import make_folder, write_text
from omnithinker.io.layout import RECIPE
from omnithinker.io.results import ResultFile, read_as
from omnithinker.types import EvalResult

SHOWN_CHANGES = 3
"""Changed settings listed in a message."""


Essentials = Callable[[Recipe], dict[str, Any]]
"""Selects the settings of a recipe that change certain results."""


def open_output_folder(folder: Path, recipe: Recipe, essentials: Essentials = Recipe.essentials) -> Path:
    """Create an output folder, or accept one with results of the same settings, and write the recipe to it.

    Raises:
        BadInput: if the folder cannot be written to, or holds results of other settings.
    """
    make_folder(folder)
    refuse_changed_settings(folder, recipe, essentials)
    write_text(folder / RECIPE, recipe.to_toml())
    return folder


def refuse_changed_settings(folder: Path, recipe: Recipe, essentials: Essentials = Recipe.essentials) -> None:
    """Check that a folder holds no results of other settings.

    Settings that change no numbers may differ (:data:`omnithinker.config.base.OPERATIONAL`).

    Raises:
        BadInput: if it holds some; names the changed settings.
    """
    file = folder / RECIPE
    changes = changed_settings(load_recipe(file), recipe, essentials) if file.exists() else []
    if changes:
        more = "; …" if len(changes) > SHOWN_CHANGES else ""
        raise BadInput(
            f"{folder} holds results of other settings ({'; '.join(changes[:SHOWN_CHANGES])}{more}); "
            "remove the folder, or choose another with --output"
        )


def read_results(path: Path) -> dict[str, EvalResult]:
    """Read the evaluations per task of a result or evaluation file.

    Raises:
        DataError: if it is damaged.
    """
    tasks: dict[str, EvalResult] = read_record(path, "tasks")["tasks"]
    return tasks


def read_record(path: Path, *fields: str) -> dict[str, Any]:
    """Read a result or evaluation file with some required fields; ``tasks`` holds evaluations.

    Raises:
        DataError: if the file is damaged.
    """
    return read_as(ResultFile, path, *fields, advice="remove this file and repeat the command, which writes it again")
