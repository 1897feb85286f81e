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


ELSEWHERE = {
    "lr": "learning_rate",
    "num_epochs": "epochs",
    "num_train_epochs": "epochs",
    "grad_clip": "max_grad_norm",
    "save_steps": "checkpoint_every",
    "save_total_limit": "keep",
    "batch_size": "prompts_per_step",
    "train_batch_size": "prompts_per_step",
    "loss_type": "loss_norm",
    "scale_rewards": "scale_advantages",
    "epsilon": "clip_low",
    "epsilon_high": "clip_high",
    "num_generations": "completions",
    "group_size": "completions",
    "max_completion_length": "max_new_tokens",
    "max_tokens": "max_new_tokens",
    "max_prompt_length": "max_prompt_tokens",
    "eval_steps": "every",
    "name": "path",
}
"""Names of settings in other trainers; see the page on names."""


def explain(
    error: ValidationError, raw: Mapping[str, Any], path: Path, text: str, overrides: Mapping[str, str] | None = None
) -> str:
    """Return one line per wrong setting: file, line, key, problem.

    Args:
        error: of :class:`Recipe`.
        raw: values that were validated.
        path: file they came from.
        text: its content.
        overrides: changes of the file's settings, as the user wrote them, by dotted key.
    """
    problems: dict[str, list[str]] = {}
    for item in error.errors():
        keys = _written_keys(item["loc"], raw, missing=item["type"] == "missing")
        name, place = ".".join(keys), _place(keys, path, text, overrides or {})
        if item["type"] == "extra_forbidden":
            known = item.get("ctx", {}).get("known") or _known_keys(item["loc"][:-1])
            problems[f"{place}: unknown key '{name}'{_suggestion(keys[-1], known)}"] = []
        else:
            message = item["msg"].removeprefix("Value error, ")
            # A setting of several types has one problem per type.
            problems.setdefault(f"{place}: {name + ': ' if name else ''}", []).append(message[0].lower() + message[1:])
    return "\n".join(start + ", or ".join(messages) for start, messages in problems.items())


def _place(keys: Sequence[str], path: Path, text: str, overrides: Mapping[str, str]) -> str:
    """Return where a setting comes from: an override, or a line of the file, perhaps with overrides below it."""
    below = []
    for key, written in overrides.items():
        parts = key.split(".")
        if list(keys[: len(parts)]) == parts:
            return written
        if parts[: len(keys)] == list(keys):
            below.append(written)
    line = _line_of(text, keys)
    return " with ".join([f"{path}:{line}" if line else str(path), *below])


def _suggestion(name: str, known: Sequence[str]) -> str:
    """Return the end of a message: the setting that an unknown name means, or all settings."""
    meant = ELSEWHERE.get(name.lower())
    return f"; did you mean {meant!r}?" if meant in known else nearest(name, known)


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
