"""Reading recipes: one TOML file in, settings out.

An unknown key is an error that names the file, the line and the nearest known key. ``--set a.b=c`` edits are
applied before validation, so they are checked the same way.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from omnithinker.config.base import Settings
from omnithinker.config.recipe import Recipe, nearest
from omnithinker.config.tasks import TaskSettings
from omnithinker.errors import RecipeError
from omnithinker.io.files import read_text

AnySettings = TypeVar("AnySettings", bound=Settings)


def load_recipe(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read, override and validate a recipe.

    Args:
        path: TOML file.
        overrides: ``a.b=c`` edits; the value is read as TOML, or as a string when it is not TOML.

    Raises:
        RecipeError: with file, line, key and what to do.
    """
    path = Path(path)
    text = read_text(path, RecipeError)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error
    for override in overrides:
        _apply(raw, override)
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(_explain(path, text, error)) from error
    base = path.resolve().parent
    tasks = {name: _with_reward_files(_absolute(task, base), base) for name, task in recipe.tasks.items()}
    output = recipe.output.replace("{name}", path.stem)
    judges = {name: _absolute(judge, base) for name, judge in recipe.judges.items()}
    return recipe.model_copy(update={"tasks": tasks, "judges": judges, "output": output})


def _absolute(settings: AnySettings, base: Path) -> AnySettings:
    """Make the files that settings name independent of the working directory: they are relative to the recipe."""
    named = {key: getattr(settings, key, None) for key in ("train", "test", "cache", "template")}
    return settings.model_copy(update={key: str(base / file) for key, file in named.items() if file is not None})


def _with_reward_files(task: TaskSettings, base: Path) -> TaskSettings:
    """Make the Python files that rewards name independent of the working directory."""
    rewards = {name: reward.relative_to(base) for name, reward in task.rewards.items()}
    return task.model_copy(update={"rewards": rewards})


def _apply(raw: dict[str, Any], override: str) -> None:
    key, sep, value = override.partition("=")
    if not sep or not key.strip():
        raise RecipeError(f"--set {override!r}: write it as key=value, such as training.epochs=2")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *parents, last = key.strip().split(".")
    node = raw
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise RecipeError(f"--set {override!r}: {parent!r} is a value, not a group of settings")
        node = child
    node[last] = parsed


def changed_settings(before: Recipe, now: Recipe) -> list[str]:
    """One line per setting that differs and decides a run's numbers: ``training.epochs was 1, is now 2``."""

    def flat(value: Any, prefix: str = "") -> dict[str, Any]:
        if not isinstance(value, dict):
            return {prefix.rstrip("."): value}
        return {k: v for key, child in value.items() for k, v in flat(child, f"{prefix}{key}.").items()}

    old, new = flat(before.essentials()), flat(now.essentials())
    return [
        f"{key} was {json.dumps(old.get(key))}, is now {json.dumps(new.get(key))}"
        for key in old | new
        if old.get(key) != new.get(key)
    ]


def _explain(path: Path, text: str, error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        # Discriminator values and class names that pydantic adds to the path are not keys of the file.
        location = [str(part) for part in item["loc"]]
        if location[:1] == ["judges"]:
            del location[2:3]
        where = ".".join(location)
        number = _line_of(text, location)
        place = f"{path}:{number}" if number else str(path)
        if item["type"] == "extra_forbidden":
            known = item.get("ctx", {}).get("known") or _known_keys(location[:-1])
            lines.append(f"{place}: unknown key '{where}'{nearest(location[-1], known)}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{place}: {where + ': ' if where else ''}{message[0].lower() + message[1:]}")
    return "\n".join(lines)


def _known_keys(location: Sequence[str]) -> list[str]:
    """Keys that are allowed in the group of settings at ``location``."""
    model: type[Settings] = Recipe
    parts = list(location)
    while parts:
        field = model.model_fields.get(parts.pop(0))
        if field is None:
            return []
        annotation: Any = field.annotation
        if getattr(annotation, "__origin__", None) is dict:
            annotation = get_args(annotation)[1]
            if parts:
                parts.pop(0)
        union = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        union += [kind for arg in get_args(annotation) for kind in get_args(arg) if isinstance(kind, type)]
        models = [kind for kind in union if issubclass(kind, Settings)]
        if not models:
            return []
        model = models[-1]
    return list(model.model_fields)


def _line_of(text: str, location: Sequence[str]) -> int | None:
    """Line (from 1) where the key at ``location`` is written, or where its nearest parent is."""
    best: tuple[int, int] | None = None
    group: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if header := re.match(r"\s*\[+([^\]]+)\]+", line):
            group = [part.strip().strip('"') for part in header[1].split(".")]
            found = group
        elif pair := re.match(r"\s*([\w.\-\"]+)\s*=", line):
            found = group + [part.strip('"') for part in pair[1].split(".")]
        else:
            continue
        depth = len(found) if list(location[: len(found)]) == found else 0
        if depth and (best is None or depth > best[0]):
            best = (depth, number)
    return best[1] if best else None
