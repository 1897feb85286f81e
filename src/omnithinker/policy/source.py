"""Sources of models: folders, GGUF files and hub names, checked before anything is loaded. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from omnithinker.config.registry import nearest
from omnithinker.errors import BadInput, reason_of
from omnithinker.io.hub import HUB_TIMEOUT_S, go_offline, in_time
from omnithinker.lab import MODEL_PATH as LAB_MODEL
from omnithinker.policy.gguf import is_gguf, require_packages, unpack_into_cache


@contextmanager
def reading_model(source: str) -> Iterator[None]:
    """Turn every failure inside the block into one line: a model's files may hold anything.

    Raises:
        BadInput: for any exception but a lack of memory.
    """
    try:
        yield
    except (BadInput, MemoryError):
        raise
    except Exception as error:
        raise BadInput(f"model {source!r} cannot be loaded: {reason_of(error)}") from error


def locate_model(source: str | Path) -> str:
    """Return an absolute path or a hub name for the name of a model; adapters record it as that of their base.

    Raises:
        BadInput: if there is no such model.
    """
    name = str(source)
    require_model(name)
    if name == "lab":
        return str(LAB_MODEL)
    return str(Path(name).resolve()) if Path(name).exists() else name


def loadable(located: str, note: Callable[[str], None] | None = None) -> str:
    """Return the folder or hub name by which transformers loads a located model; unpack a GGUF file if necessary.

    Args:
        located: result of :func:`locate_model`.
        note: receives a message before a file is unpacked.

    Raises:
        BadInput: if a GGUF file cannot be unpacked.
    """
    return str(unpack_into_cache(Path(located), note)) if is_gguf(located) and not Path(located).is_dir() else located


def require_model(source: str) -> None:
    """Check that a model's folder or GGUF file exists, or that its hub name is in the cache or the hub can be reached.

    Without this check, libraries retry for a minute. If the hub cannot be reached, a cached model is loaded without it.

    Raises:
        BadInput: if there is no such model.
    """
    if source == "lab":
        return
    path = Path(source)
    try:
        if path.is_dir() and source:
            _require_weights(path)
            return
        is_file = bool(source) and path.exists()
    except (OSError, ValueError) as error:
        raise BadInput(f"model {source!r}: cannot be read: {getattr(error, 'strerror', error)}") from error
    advice = "give a folder with safetensors weights and a tokenizer, a .gguf file, or the name of a model on the hub"
    if is_file and is_gguf(source):
        require_packages()
        return
    if is_file:
        raise BadInput(f"model {source!r}: not a folder; {advice}")
    if is_gguf(source):
        raise BadInput(f"model {source!r}: no such file; {advice}")
    if not source or source.startswith((".", "/", "~")) or "\\" in source or source.count("/") > 1:
        raise BadInput(f"model {source!r}: no such folder{_nearest_folder(path)}; {advice}")
    _require_on_hub(source)


def _require_weights(folder: Path) -> None:
    """Check that a folder of GGUF files holds a model too."""
    files = sorted(file for file in folder.glob("*") if is_gguf(file) and not file.is_dir())
    if files and not list(folder.glob("*config.json")):
        raise BadInput(f"model {str(folder)!r}: holds GGUF files only; give one of them, such as {files[0]}")


@cache
def _require_on_hub(name: str) -> None:
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError as error:
        raise BadInput(f"model {name!r}: neither a folder nor a hub name") from error
    reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _problem_on_hub(name)
    if reason is None:
        return
    if not cached:
        raise BadInput(
            f"model {name!r}: no such folder{_nearest_folder(Path(name))}, not in the cache, and {reason}; give a "
            f"folder, or run 'hf download {name}' with a connection"
        )
    go_offline()


def _problem_on_hub(name: str) -> str | None:
    """Return why a model cannot be had from the hub; None if the hub answers in time that it has the model."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    def ask() -> str | None:
        try:
            HfApi().model_info(name, timeout=HUB_TIMEOUT_S)
        except GatedRepoError:
            return "it is gated: accept its terms on the hub and run 'hf auth login'"
        except RepositoryNotFoundError:
            return f"{constants.ENDPOINT} has no such model, or it is private ('hf auth login')"
        except HfHubHTTPError as error:
            return f"{constants.ENDPOINT} answers with status {error.response.status_code}"
        except Exception:  # of any HTTP library: no connection, no such host, a wrong certificate or address
            return f"{constants.ENDPOINT} cannot be reached"
        return None

    silent: str | None = f"{constants.ENDPOINT} does not answer"
    return in_time(ask, otherwise=silent)


def _nearest_folder(path: Path) -> str:
    """Return the end of a message: the folder beside ``path`` with the most similar name, if any."""
    try:
        beside = [folder.name for folder in path.parent.iterdir() if folder.is_dir()]
    except OSError:
        return ""
    suggestion = nearest(path.name, beside)
    return suggestion if suggestion.startswith("; did you mean") else ""
