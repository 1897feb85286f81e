"""The base model: is it there, how large is it, does it know how to chat. Its weights are not loaded."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from omnithinker.checks.report import Section
from omnithinker.config.model import ModelSettings
from omnithinker.errors import BadInput
from omnithinker.lab import MODEL_PATH as LAB_MODEL
from omnithinker.policy.adapter import base_of, new_adapter
from omnithinker.policy.base import Policy
from omnithinker.policy.loading import check_compilable, check_trainable, freeze_embeddings
from omnithinker.policy.tokenizer import ChatTokenizer

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
"""A model has one of these."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A model without weights."""

    policy: Policy
    """Tokenizer, and a model whose weights take no memory and hold no values."""

    trained: int
    """Number of weights that a run trains: all, all but the embeddings, or those of an adapter."""
    trains_head: bool
    """Whether the output embedding is among them."""

    @property
    def parameters(self) -> int:
        """Number of weights of the base model; tied ones count once."""
        return sum(weight.numel() for weight in self.policy.model.parameters())

    @property
    def config(self) -> Any:
        """The text part of the transformers configuration."""
        return self.policy.model.config.get_text_config()


def check_model(settings: ModelSettings) -> tuple[Section, Outline | None]:
    """Look at the recipe's base model.

    Returns:
        The section, and the model's outline, or None if it has none that transformers can load.
    """
    import transformers

    source = str(LAB_MODEL) if settings.path == "lab" else settings.path
    while (base := base_of(source)) is not None:
        source = base
    trust = settings.trust_remote_code
    data: dict[str, Any] = {"path": settings.path}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=trust)
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=trust)
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what initialisation has to say of weights that have no values
            model: Any = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=trust)
    except (OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Section("model", data, (f"model {settings.path!r} cannot be loaded: {reason}",)), None
    try:
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


def _outline(policy: Policy, settings: ModelSettings) -> Outline:
    """Find out what a run would train, on a copy.

    Raises:
        BadInput: the settings of the adapter do not fit the model.
    """
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
        problems.append(f"model {settings.path!r}: found no weights in safetensors format ({' or '.join(WEIGHTS)})")
    if tokenizer.chat_template is None:
        problems.append(f"model {settings.path!r} has no chat template; choose an instruction-tuned model or add one")
    if settings.device == "cuda" and not torch.cuda.is_available():
        problems.append("model.device is 'cuda' but PyTorch sees no GPU; use 'auto' or 'cpu'")
    return problems


def _has_weights(source: str) -> bool:
    """Whether the weights are in a folder, in the local cache, or on the hub; they are not fetched."""
    if Path(source).is_dir():
        return any((Path(source) / name).is_file() for name in WEIGHTS)
    import httpx
    from huggingface_hub import file_exists, try_to_load_from_cache

    if any(isinstance(try_to_load_from_cache(source, name), str) for name in WEIGHTS):
        return True
    try:
        return any(file_exists(source, name) for name in WEIGHTS)
    except (OSError, httpx.HTTPError):
        return False  # the hub cannot be reached
