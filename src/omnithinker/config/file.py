"""Recipe files: TOML in, settings out.

An unknown key is an error that names the file, the line and the nearest known key. Overrides are applied before
validation and checked the same way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from omnithinker.config.base import Settings
from omnithinker.config.explaining import explain
from omnithinker.config.recipe import Recipe
from omnithinker.config.shipped import RECIPES_PATH, find_recipe
from omnithinker.config.tasks import TaskSettings
from omnithinker.errors import DataError, RecipeError
from omnithinker.io.files import read_text
from omnithinker.io.parsing import TOO_DEEP, is_shallow, parse_toml

SHOWN = 100
"""Characters of an override that a message repeats."""
AnySettings = TypeVar("AnySettings", bound=Settings)


def load_recipe(recipe: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Recipe:
    """Read, override and validate a recipe.

    Files that the recipe names are relative to its own folder; ``output`` is relative to the current one.

    Args:
        recipe: path of a TOML file, or the name of a shipped recipe. A path wins if it exists.
        overrides: settings to change, such as ``{"training.epochs": 2}`` or ``["training.epochs=2"]``. The value of
            a string is read as TOML, or taken as it is if it is not TOML.

    Raises:
        RecipeError: if the recipe is missing or not valid; the message names file, line and key.
    """
    path = find_recipe(recipe)
    text = read_text(path, RecipeError)
    try:
        raw = parse_toml(text)
    except DataError as error:
        raise RecipeError(f"{path}: {error}") from error
    written = {}
    for key, value, origin in _parsed(overrides):
        _override(raw, key, value, origin)
        written[key] = origin
    if not is_shallow(raw):
        raise RecipeError(f"{path} with {', '.join(written.values())}: {TOO_DEEP}")
    if isinstance(output := raw.get("output", Recipe.model_fields["output"].default), str):
        raw["output"] = output.replace("{name}", path.stem)
    try:
        settings = Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(*explain(error, raw, path, text, written)) from error
    folder = path.resolve().parent
    # A shipped recipe's folder may not be writable, and is not the user's.
    writable = Path.cwd() if folder == RECIPES_PATH else folder
    tasks = {
        name: _with_reward_files(_relative_to(folder, task, "train", "test"), folder)
        for name, task in settings.tasks.items()
    }
    judges = {
        name: _relative_to(writable, _relative_to(folder, judge, "template"), "cache")
        for name, judge in settings.judges.items()
    }
    return settings.model_copy(update={"tasks": tasks, "judges": judges})


def as_recipe(recipe: Recipe | str | Path) -> Recipe:
    """Return a recipe as it is, or load it from its file or by the name of a shipped one.

    Raises:
        RecipeError: if the recipe is missing or not valid.
    """
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def _relative_to(folder: Path, settings: AnySettings, *fields: str) -> AnySettings:
    """Return settings whose ``fields`` that name a file are absolute paths; hub names stay."""
    files = {field: getattr(settings, field, None) for field in fields}
    update = {
        field: str(folder / file)
        for field, file in files.items()
        if file is not None and not str(file).startswith("hub:")
    }
    return settings.model_copy(update=update)


def _with_reward_files(task: TaskSettings, folder: Path) -> TaskSettings:
    """Return a task whose rewards name their Python files by absolute paths."""
    rewards = {name: reward.relative_to(folder) for name, reward in task.rewards.items()}
    return task.model_copy(update={"rewards": rewards})


def _parsed(overrides: Iterable[str] | Mapping[str, Any]) -> Iterable[tuple[str, Any, str]]:
    """Yield overrides as (dotted key, value, name in messages)."""
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            yield key, value, f"override of {key!r}"
        return
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"--set {override!r}: write it as key=value, such as training.epochs=2")
        yield key.strip(), _toml_value(value), f"--set {override if len(override) <= SHOWN else override[:SHOWN] + '…'}"


def _toml_value(text: str) -> Any:
    """Parse a TOML value; text that is none stands for itself."""
    try:
        table = parse_toml(f"value = {text}")
    except DataError:
        return text
    return table["value"] if len(table) == 1 else text


def _override(raw: dict[str, Any], key: str, value: Any, origin: str) -> None:
    *parents, last = key.split(".")
    node = raw
    for depth, parent in enumerate(parents):
        child = node.setdefault(parent, {})
        if isinstance(child, int | float) and parents[:depth][-1:] == ["rewards"]:
            child = node[parent] = {"weight": child}  # a bare number is a weight
        if not isinstance(child, dict):
            raise RecipeError(f"{origin}: {parent!r} is a value, not a group of settings")
        node = child
    node[last] = value


def changed_settings(
    before: Recipe, now: Recipe, essentials: Callable[[Recipe], dict[str, Any]] = Recipe.essentials
) -> list[str]:
    """Return one line per changed setting that affects a run's numbers: ``training.epochs was 1, is now 2``.

    Args:
        before: settings of earlier results.
        now: settings of now.
        essentials: selects the settings that matter; by default all that change numbers.
    """

    def flat(value: Any, prefix: str = "") -> dict[str, Any]:
        if not isinstance(value, dict):
            return {prefix.rstrip("."): value}
        return {k: v for key, child in value.items() for k, v in flat(child, f"{prefix}{key}.").items()}

    old, new = flat(essentials(before)), flat(essentials(now))
    return [
        f"{key} was {json.dumps(old.get(key))}, is now {json.dumps(new.get(key))}"
        for key in old | new
        if old.get(key) != new.get(key)
    ]
