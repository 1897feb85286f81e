"""LoRA adapters through PEFT: create, load, and merge into the base weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from omnithinker.config.model import LoraSettings
from omnithinker.errors import BadInput, DataError, reason_of
from omnithinker.io.parsing import parse_json

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def base_of(folder: str | Path) -> str | None:
    """Return the base model of an adapter folder; None if the folder holds no adapter.

    Raises:
        BadInput: if the adapter names none, or its configuration cannot be read.
    """
    file = Path(folder) / CONFIG_FILE
    if not file.is_file():
        return None
    try:
        configuration = parse_json(file.read_bytes())
    except (OSError, DataError) as error:
        raise BadInput(f"{file}: {error}") from error
    base = configuration.get("base_model_name_or_path") if isinstance(configuration, dict) else None
    if not base:
        raise BadInput(f"{file}: names no base model; set 'base_model_name_or_path' to the model it was trained on")
    return str(base)


def new_adapter(model: Any, settings: LoraSettings, seed: int) -> Any:
    """Add an adapter that is the identity at first; only its own weights are trained.

    Args:
        model: transformers model; its layers are changed in place.
        settings: rank, alpha and target layers.
        seed: fixes the initial factors.

    Returns:
        The ``PeftModel`` around the model.

    Raises:
        BadInput: if PEFT is not installed, or no layer has one of the target names.
    """
    peft = _peft()
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=_targets(settings),
        use_rslora=settings.rslora,
        init_lora_weights=True if settings.init == "default" else settings.init,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return peft.get_peft_model(model, config).eval()
        except ValueError as error:
            raise BadInput(f"model.lora.targets {_targets(settings)}: {error}") from error


def _targets(settings: LoraSettings) -> str | list[str]:
    return settings.targets if isinstance(settings.targets, str) else list(settings.targets)


def load_adapter(model: Any, folder: str | Path, *, trainable: bool) -> Any:
    """Load a saved adapter onto its base model; return the ``PeftModel``.

    Raises:
        BadInput: if PEFT is not installed, or the adapter cannot be read or does not fit the model.
    """
    peft = _peft()
    try:
        with safe_open(Path(folder) / WEIGHTS_FILE, framework="pt") as weights:
            stored = set(weights.keys())
        wrapped = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=trainable).eval()
    except MemoryError:
        raise
    except Exception as error:  # the folder may hold anything
        reason = reason_of(error)
        raise BadInput(f"adapter {folder} does not fit {model.name_or_path!r}: {reason}") from error
    # PEFT silently skips layers that one side lacks.
    if stored != set(peft.get_peft_model_state_dict(wrapped, save_embedding_layers=False)):
        raise BadInput(f"adapter {folder} does not fit {model.name_or_path!r}: it was trained for other layers")
    return wrapped


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise BadInput("LoRA adapters need the package 'peft': pip install 'omnithinker[lora]'") from error
    # PEFT uses a name that transformers deprecates; users cannot act on that.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    return peft
