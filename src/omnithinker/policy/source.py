"""Sources of models: folders and hub names, checked before anything is loaded. Does not import torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from omnithinker.config.registry import nearest
from omnithinker.errors import BadInput
from omnithinker.io.hub import go_offline, unreachable


def require_model(source: str) -> None:
    """Check that a model's folder exists, or that its hub name is in the local cache or the hub can be reached.

    Without this check, libraries retry for a minute. If the hub cannot be reached, a cached model is loaded without it.

    Raises:
        BadInput: if there is no such model.
    """
    if source == "lab":
        return
    path = Path(source)
    try:
        if path.is_dir() and source:
            return
        is_file = bool(source) and path.exists()
    except (OSError, ValueError) as error:
        raise BadInput(f"model {source!r}: cannot be read: {getattr(error, 'strerror', error)}") from error
    advice = "give a folder with safetensors weights and a tokenizer, or the name of a model on the hub"
    if is_file:
        raise BadInput(f"model {source!r}: not a folder; {advice}")
    if not source or source.startswith((".", "/", "~")) or "\\" in source or source.count("/") > 1:
        raise BadInput(f"model {source!r}: no such folder{_nearest_folder(path)}; {advice}")
    _require_on_hub(source)


@cache
def _require_on_hub(name: str) -> None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError as error:
        raise BadInput(f"model {name!r}: neither a folder nor a hub name") from error
    reason = unreachable()
    if reason is None:
        return
    if not cached:
        raise BadInput(
            f"model {name!r}: no such folder{_nearest_folder(Path(name))}, not in the cache, and {reason}; give a "
            f"folder, or run 'hf download {name}' with a connection"
        )
    go_offline()


def _nearest_folder(path: Path) -> str:
    """Return the end of a message: the folder beside ``path`` with the most similar name, if any."""
    try:
        beside = [folder.name for folder in path.parent.iterdir() if folder.is_dir()]
    except OSError:
        return ""
    suggestion = nearest(path.name, beside)
    return suggestion if suggestion.startswith("; did you mean") else ""
