"""Messages for recipes that are not valid: file, line, key, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from omnithinker.config.base import Settings
from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import nearest
from omnithinker.io.parsing import parse_toml

Location = Sequence[str | int]
"""Keys from the top of a recipe to a setting."""


CLOSE, SAME = 0.75, 0.93
"""Similarity of names (0 to 1) above which a setting of the same group, or of another one, is meant."""
ELSEWHERE = {
    name: ours
    for ours, names in {
        "learning_rate": "lr",
        "warmup_steps": "lr_warmup_steps num_warmup_steps",
        "epochs": "num_epochs num_train_epochs total_epochs",
        "max_steps": "total_training_steps",
        "max_grad_norm": "grad_clip max_norm",
        "prompts_per_step": "batch_size train_batch_size generation_batch_size",
        "microbatch_tokens": "per_device_train_batch_size ppo_max_token_len_per_gpu",
        "minibatches": "ppo_mini_batch_size steps_per_generation gradient_accumulation_steps",
        "checkpoint_every": "save_steps save_freq",
        "keep": "save_total_limit max_actor_ckpt_to_keep keep_last",
        "loss_norm": "loss_type loss_agg_mode",
        "scale_advantages": "scale_rewards norm_adv_by_std_in_grpo",
        "clip_low": "epsilon clip_ratio clip_ratio_low",
        "clip_high": "epsilon_high clip_ratio_high",
        "kl": "kl_loss_type",
        "beta": "kl_coef kl_loss_coef init_kl_coef",
        "truncated": "mask_truncated_completions",
        "importance_sampling_correction": "vllm_importance_sampling_correction rollout_is",
        "completions": "num_generations group_size n",
        "max_new_tokens": "max_completion_length max_response_length max_completion_tokens max_tokens",
        "max_prompt_tokens": "max_prompt_length",
        "every": "eval_steps test_freq",
        "path": "name model_name model_name_or_path",
        "dtype": "torch_dtype",
        "rank": "r lora_r lora_rank",
        "alpha": "lora_alpha",
        "targets": "target_modules",
        "trackers": "report_to logger",
        "output": "output_dir",
        "weight": "reward_weights",
    }.items()
    for name in names.split()
}
"""Our name of a setting by its name in other trainers; see the page on names."""


def explain(
    error: ValidationError, raw: Mapping[str, Any], path: Path, text: str, overrides: Mapping[str, str] | None = None
) -> list[str]:
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
            problems[f"{place}: unknown key '{name}'{_suggestion(keys, known)}"] = []
        else:
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "union_tag_not_found":
                message = "needs 'kind', which says what the other settings are"
            # A setting of several types has one problem per type.
            problems.setdefault(f"{place}: {name + ': ' if name else ''}", []).append(message[0].lower() + message[1:])
    return [start + ", or ".join(messages) for start, messages in problems.items()]


def _place(keys: Sequence[str], path: Path, text: str, overrides: Mapping[str, str]) -> str:
    """Return where a setting comes from: an override, or a line of the file, perhaps with overrides below it."""
    below = []
    for key, written in overrides.items():
        parts = key.split(".")
        if list(keys[: len(parts)]) == parts:
            return written
        if parts[: len(keys)] == list(keys):
            below.append(written)
    if below and not _is_in_file(text, keys):
        return ", ".join(below)
    line = _line_of(text, keys)
    return " with ".join([f"{path}:{line}" if line else str(path), *below])


def _is_in_file(text: str, keys: Sequence[str]) -> bool:
    node: Any = parse_toml(text)
    for key in keys:
        if not isinstance(node, dict) or key not in node:
            return False
        node = node[key]
    return True


def _suggestion(keys: Sequence[str], known: Sequence[str]) -> str:
    """Return the end of a message: the setting that an unknown one means, of this or another group, or all of this."""
    name = keys[-1]
    meant = ELSEWHERE.get(name.lower(), name.lower())
    if meant in known:
        return f"; did you mean {meant!r}?"
    if name.lower() in ELSEWHERE or not get_close_matches(name, known, n=1, cutoff=CLOSE):
        others = [path for path in _all_settings() if not _is_in_group(path, keys)]
        paths = {path.rpartition(".")[2]: path for path in reversed(others)}
        for other in get_close_matches(meant, paths, n=1, cutoff=SAME):
            return f"; did you mean {paths[other]!r}?"
    return nearest(name, known)


def _is_in_group(path: str, keys: Sequence[str]) -> bool:
    """Return True if a setting belongs to the group of some keys: they are of another kind then, as of judges."""
    parts = path.split(".")
    return len(parts) == len(keys) and all(a in (b, "NAME") for a, b in zip(parts[:-1], keys, strict=False))


@cache
def _all_settings() -> list[str]:
    """Return the dotted paths of all settings; those of the warm-up last, because they repeat other names."""
    return sorted(_paths(Recipe, ""), key=lambda path: (path.startswith("warmup."), path.count(".")))


def _paths(model: type[Settings], prefix: str) -> Iterator[str]:
    for key, field in model.model_fields.items():
        yield prefix + key
        below = f"{prefix}{key}.NAME." if get_origin(field.annotation) is dict else f"{prefix}{key}."
        for inner in _models_in(field.annotation):
            yield from _paths(inner, below)


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
