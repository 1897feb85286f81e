"""Upload of a finished run's weights to the hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omnithinker.errors import BadInput, reason_of
from omnithinker.io.files import read_json
from omnithinker.io.layout import CARD, RESULT
from omnithinker.train.folder import read_record

NOT_PUSHED = ("trainer.json", "optimizer.safetensors", "best.json")
"""Files of a checkpoint that only a resumed run needs."""


def measured_model(run: Path) -> Path:
    """Return the folder of the weights that the final evaluation of a run measured.

    Raises:
        BadInput: if the folder holds no finished run.
    """
    if not (run / RESULT).exists():
        raise BadInput(
            f"{run}: no finished run (no {RESULT}); give the folder of a run, such as single-math in a study's"
        )
    return run / str(read_record(run / RESULT, "model")["model"])


def push_run(run: Path, repository: str, *, public: bool, note: Callable[[str], None], api: Any = None) -> str:
    """Upload weights, tokenizer and model card of a finished run.

    Args:
        run: the run folder.
        repository: name on the hub, ``user/name``; created if it does not exist.
        public: create a public repository instead of a private one. An existing one stays as it is.
        note: receives messages for the user.
        api: a ``huggingface_hub.HfApi``; by default one with the token of ``hf auth login`` or ``HF_TOKEN``.

    Returns:
        The address of the repository.

    Raises:
        BadInput: if the run is not finished, its checkpoint is gone, or the hub refuses or cannot be reached.
    """
    model = measured_model(run)
    if not (model / CARD).exists():
        raise BadInput(f"{model}: no checkpoint with a {CARD}; was it removed?")
    _warn_of_local_base(model, note)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    hub = api or HfApi()
    size = sum(file.stat().st_size for file in model.iterdir() if file.name not in NOT_PUSHED)
    note(f"uploading {model} ({size / 1e6:.0f} MB) to {repository}")
    try:
        address = hub.create_repo(repository, private=not public, exist_ok=True)
        hub.upload_folder(
            folder_path=str(model),
            repo_id=repository,
            ignore_patterns=list(NOT_PUSHED),
            commit_message=f"omnithinker: {read_record(run / RESULT, 'name')['name']}",
        )
    except HFValidationError as error:
        raise BadInput(f"{repository!r}: no name of a repository; write it as user/name") from error
    except Exception as error:  # of the hub's library and of any HTTP library below it
        raise BadInput(f"{repository}: {_reason(error)}") from error
    return str(address)


def _warn_of_local_base(model: Path, note: Callable[[str], None]) -> None:
    """Tell the user if others cannot load an adapter because its base is a folder of this machine."""
    config = model / "adapter_config.json"
    adapter = read_json(config) if config.exists() else {}
    base = adapter.get("base_model_name_or_path") if isinstance(adapter, dict) else None
    if isinstance(base, str) and os.path.isabs(base):
        note(
            f"the adapter names {base} as its base, which others do not have; edit base_model_name_or_path in {config}"
        )


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    text = reason_of(error)
    if status in (401, 403):
        return f"the hub refuses (status {status}); run 'hf auth login' with a token that may write there"
    if status is None:
        return f"cannot be uploaded: {text}; check the connection, and run 'hf auth login' once"
    return f"the hub answers with status {status}: {text}"
