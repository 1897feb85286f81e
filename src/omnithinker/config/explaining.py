"""Messages for recipes that are not valid: file, line, key, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from omnithinker.config.base import Settings
from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import nearest

Location = Sequence[str | int]
"""Keys from the top of a recipe to a setting."""


def explain(error: ValidationError, raw: Mapping[str, Any], path: Path, text: str) -> str:
    """Return one line per wrong setting: file, line, key, problem.

    Args:
        error: of :class:`Recipe`.
        raw: values that were validated.
        path: file they came from.
        text: its content.
    """
    problems: dict[str, list[str]] = {}
    for item in error.errors():
        keys = _written_keys(item["loc"], raw, missing=item["type"] == "missing")
        name, line = ".".join(keys), _line_of(text, keys)
        place = f"{path}:{line}" if line else str(path)
        if item["type"] == "extra_forbidden":
            known = item.get("ctx", {}).get("known") or _known_keys(item["loc"][:-1])
            problems[f"{place}: unknown key '{name}'{nearest(keys[-1], known)}"] = []
        else:
            message = item["msg"].removeprefix("Value error, ")
            # A setting of several types has one problem per type.
            problems.setdefault(f"{place}: {name + ': ' if name else ''}", []).append(message[0].lower() + message[1:])
    return "\n".join(start + ", or ".join(messages) for start, messages in problems.items())


def _written_keys(location: Location, raw: Mapping[str, Any], *, missing: bool) -> list[str]:
    """Return the keys of a location that stand in the file: pydantic adds discriminators and names of types."""
    keys: list[str] = []
    node: Any = raw
    for position, part in enumerate(location):
        children = dict(enumerate(node)) if isinstance(node, list) else node
        if isinstance(children, Mapping) and part in children:
            node = children[part]
            keys.append(str(part))
        elif missing and position == len(location) - 1:
            keys.append(str(part))
    return keys


def _known_keys(location: Location) -> list[str]:
    """Return the keys that the group of settings at a location may have."""
    models: list[type[Settings]] = [Recipe]
    parts = list(location)
    while parts:
        key = parts.pop(0)
        fields = [model.model_fields[str(key)] for model in models if str(key) in model.model_fields]
        if not fields:
            # The key of a mapping, or the discriminator of a union.
            models = [model for model in models if _has_kind(model, key)] or models
            continue
        models = [model for field in fields for model in _models_in(field.annotation)]
    return sorted({key for model in models for key in model.model_fields})


def _models_in(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _has_kind(model: type[Settings], kind: str | int) -> bool:
    field = model.model_fields.get("kind")
    return field is not None and kind in get_args(field.annotation)


def _line_of(text: str, location: Sequence[str]) -> int | None:
    """Return the line (from 1) of the key at a location, or of its nearest parent."""
    best: tuple[int, int] | None = None
    group: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if header := re.match(r"\s*\[+([^\]]+)\]+", line):
            keys = group = [part.strip().strip('"') for part in header[1].split(".")]
        elif pair := re.match(r"\s*([\w.\-\"]+)\s*=", line):
            keys = group + [part.strip('"') for part in pair[1].split(".")]
        else:
            continue
        depth = len(keys) if list(location[: len(keys)]) == keys else 0
        if depth and (best is None or depth > best[0]):
            best = (depth, number)
    return best[1] if best else None
