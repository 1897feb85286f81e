"""Check of the base model: files, size, chat template. Its weights are not loaded."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from omnithinker.checks.report import Section
from omnithinker.config.model import ModelSettings
from omnithinker.errors import BadInput, DataError, reason_of
from omnithinker.io.parsing import parse_json
from omnithinker.policy.adapter import base_of, new_adapter
from omnithinker.policy.base import Policy
from omnithinker.policy.loading import check_compilable, check_trainable, freeze_embeddings
from omnithinker.policy.source import loadable, locate_model, reading_model
from omnithinker.policy.tokenizer import ChatTokenizer

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
"""Files of weights, of which a model has one."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A model without weights."""

    policy: Policy
    """Tokenizer, and a model on the meta device: its weights take no memory and hold no values."""
    trained: int
    """Number of trained weights: all, all but the embeddings, or those of an adapter."""
    trains_head: bool
    """True if the output embedding is trained."""

    @property
    def parameters(self) -> int:
        """Number of weights of the base model; tied ones count once."""
        return sum(weight.numel() for weight in self.policy.model.parameters())

    @property
    def config(self) -> Any:
        """Text part of the transformers configuration."""
        return self.policy.model.config.get_text_config()


def check_model(settings: ModelSettings) -> tuple[Section, Outline | None]:
    """Check a recipe's base model.

    Returns:
        The section, and the model's outline; None if transformers cannot load the model.
    """
    data: dict[str, Any] = {"path": settings.path}
    try:
        source = loadable(locate_model(settings.path))
        while (base := base_of(source)) is not None:
            source = loadable(locate_model(base))
        model, tokenizer = _without_weights(settings, source)
        check_trainable(settings)
        check_compilable(settings, model)
        outline = _outline(Policy(model, ChatTokenizer(tokenizer, ())), settings)
    except BadInput as error:
        return Section("model", data, (str(error),)), None
    data |= {
        "architecture": type(model).__name__,
        "parameters": outline.parameters,
        "trained": outline.trained,
        "adapter": settings.lora is not None,
        "vocabulary": outline.config.vocab_size,
        "chat_template": tokenizer.chat_template is not None,
    }
    return Section("model", data, tuple(_problems(settings, source, tokenizer))), outline


def _without_weights(settings: ModelSettings, source: str) -> tuple[Any, Any]:
    """Return a model on the meta device, and its tokenizer.

    Raises:
        BadInput: if transformers cannot load them.
    """
    import transformers

    trust = settings.trust_remote_code
    with reading_model(settings.path):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=trust)
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=trust)
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from the initialization of weights without values
            return transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=trust), tokenizer


def _outline(policy: Policy, settings: ModelSettings) -> Outline:
    """Count the weights that a run trains.

    Raises:
        BadInput: if the adapter's settings do not fit the model.
    """
    # Adding an adapter and freezing change the model in place.
    model = copy.deepcopy(policy.model)
    if settings.lora is not None:
        with torch.device("meta"):
            new_adapter(model, settings.lora, seed=0)
    elif settings.freeze_embeddings:
        freeze_embeddings(model)
    return Outline(
        policy,
        trained=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        trains_head=any(weight.requires_grad for weight in model.get_output_embeddings().parameters()),
    )


def _problems(settings: ModelSettings, source: str, tokenizer: Any) -> list[str]:
    problems = []
    if not _has_weights(source):
        problems.append(f"model {settings.path!r}: no weights in safetensors format; expected {' or '.join(WEIGHTS)}")
    if Path(source).is_dir():
        problems += [f"model {settings.path!r}: {damage}; copy it again" for damage in _damages(Path(source))]
    if tokenizer.chat_template is None:
        problems.append(f"model {settings.path!r} has no chat template; use an instruction-tuned model or add one")
    if settings.device == "cuda" and not torch.cuda.is_available():
        problems.append("model.device is 'cuda' but PyTorch sees no GPU; use 'auto' or 'cpu'")
    return problems


def _damages(folder: Path) -> Iterator[str]:
    """Yield a message per file of weights that is missing, or whose header does not fit its size."""
    single, index = (folder / name for name in WEIGHTS)
    files = [single] if single.is_file() else []
    if not files and index.is_file():
        try:
            files = sorted({folder / name for name in parse_json(index.read_bytes())["weight_map"].values()})
        except (DataError, OSError, TypeError, KeyError, AttributeError) as error:
            yield f"{index.name} cannot be read: {reason_of(error)}"
    for file in files:
        try:
            with safe_open(file, framework="pt"):
                pass
        except (OSError, SafetensorError) as error:
            yield f"{file.name} cannot be read: {reason_of(error)}"


def _has_weights(source: str) -> bool:
    """Return True if the weights are in the folder, in the local cache, or on the hub. Nothing is downloaded."""
    if Path(source).is_dir():
        return any((Path(source) / name).is_file() for name in WEIGHTS)
    import httpx
    from huggingface_hub import file_exists, try_to_load_from_cache

    if any(isinstance(try_to_load_from_cache(source, name), str) for name in WEIGHTS):
        return True
    try:
        return any(file_exists(source, name) for name in WEIGHTS)
    except (OSError, httpx.HTTPError):
        return False  # the hub is unreachable
