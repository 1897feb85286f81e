"""Load a policy: any causal language model of transformers, checked for what training needs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from omnithinker.config.model import LoraSettings, ModelSettings
from omnithinker.errors import BadInput
from omnithinker.io.memory import keep_freed_memory
from omnithinker.policy import adapter
from omnithinker.policy.attention import speed_up_decoding
from omnithinker.policy.base import Policy
from omnithinker.policy.head import logits_of
from omnithinker.policy.lean import keep_less
from omnithinker.policy.logprobs import hidden_states
from omnithinker.policy.number_format import computes_in_bfloat16
from omnithinker.policy.recompute import recompute_layers
from omnithinker.policy.shared_prompt import can_share
from omnithinker.policy.source import loadable, locate_model, reading_model
from omnithinker.policy.tokenizer import load_tokenizer

# No telemetry or update check during a training run.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def load_policy(settings: ModelSettings, path: str | Path | None = None) -> Policy:
    """Load a model and tokenizer. On a CPU, the process keeps freed memory from then on.

    Args:
        settings: device, number format, and the path unless ``path`` is given.
        path: folder to load instead, such as a checkpoint. An adapter is merged into its base.

    Raises:
        BadInput: if there is no such model, its files cannot be read or lack weights, it has no chat template, or its
            logits are computed in an unknown way.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    gpu = uses_gpu(settings)
    if not gpu:
        keep_freed_memory()
    source = locate_model(path or settings.path)
    tokenizer = load_tokenizer(settings, path)
    with reading_model(source):
        model = _load_model(source, settings)
    model = model.to(torch.device("cuda" if gpu else "cpu")).eval()
    if settings.attention == "auto":
        speed_up_decoding(model)
    keep_less(model)
    _check_logits(model, source)
    check_compilable(settings, model)
    return Policy(
        model,
        tokenizer,
        bfloat16=computes_in_bfloat16(settings, model.config, gpu=gpu),
    )


def check_compilable(settings: ModelSettings, model: Any) -> None:
    """Check that decoding can be compiled if the settings ask for it.

    Raises:
        BadInput: if layers keep more than keys and values.
    """
    if settings.compile and not can_share(model):
        raise BadInput(f"model.compile: {type(model).__name__} has layers with a running state; set it to false")


def uses_gpu(settings: ModelSettings) -> bool:
    """Return True if the model runs on a GPU.

    Raises:
        BadInput: if the settings need a GPU and there is none.
    """
    cuda = torch.cuda.is_available()
    if settings.device == "cuda" and not cuda:
        raise BadInput("model.device is 'cuda' but PyTorch sees no GPU; use 'auto' or 'cpu'")
    gpu = cuda and settings.device != "cpu"
    if settings.attention not in ("auto", "sdpa", "eager") and not gpu:
        raise BadInput(f"model.attention = {settings.attention!r} needs a GPU; use 'auto'")
    return gpu


def load_trained(settings: ModelSettings, *, seed: int, checkpoint: Path | None = None) -> Policy:
    """Load the policy that a run trains: all weights, or an adapter.

    Args:
        settings: model settings.
        seed: fixes the initial weights of a new adapter.
        checkpoint: folder of a saved policy with the same settings; a new policy by default.

    Raises:
        BadInput: as in :func:`load_policy`, and for weights too coarse to hold updates.
    """
    check_trainable(settings)
    if settings.lora is None:
        policy = _load_full(settings, checkpoint)
    else:
        policy = _load_with_adapter(settings, settings.lora, seed, checkpoint)
    if settings.uses_gradient_checkpointing(policy.device.type == "cuda"):
        recompute_layers(policy.model)
    return policy


def check_trainable(settings: ModelSettings) -> None:
    """Check that the weights are fine enough to hold updates.

    Raises:
        BadInput: if most updates would be lost to rounding.
    """
    if settings.lora is None and settings.dtype == "bfloat16":
        raise BadInput(
            "model.dtype = 'bfloat16' without model.lora: most updates are smaller than such weights can hold; "
            "use 'float32' (and model.compute = 'bfloat16'), or train an adapter"
        )


def _load_full(settings: ModelSettings, checkpoint: Path | None) -> Policy:
    policy = load_policy(settings, checkpoint)
    if settings.freeze_embeddings:
        freeze_embeddings(policy.model)
    return policy


def freeze_embeddings(model: Any) -> None:
    """Exclude input and output embeddings from training."""
    model.get_input_embeddings().requires_grad_(False)
    model.get_output_embeddings().requires_grad_(False)


def _load_with_adapter(settings: ModelSettings, lora: LoraSettings, seed: int, checkpoint: Path | None) -> Policy:
    base = load_policy(settings)
    if checkpoint is None:
        return replace(base, adapter=adapter.new_adapter(base.model, lora, seed))
    return replace(base, adapter=adapter.load_adapter(base.model, checkpoint, trainable=True))


def _load_model(source: str, settings: ModelSettings) -> Any:
    """Load a model; one stored as an adapter is its base with the adapter merged into the weights."""
    import transformers

    base = adapter.base_of(source)
    if base is not None:
        model = adapter.load_adapter(
            _load_model(locate_model(base), settings), source, trainable=False
        ).merge_and_unload()
        model.name_or_path = source
        return model
    load: Any = transformers.AutoModelForCausalLM.from_pretrained  # typed as if it returned a model alone
    model, outcome = load(
        loadable(source),
        dtype=getattr(torch, settings.dtype),
        trust_remote_code=settings.trust_remote_code,
        use_safetensors=True,
        attn_implementation=None if settings.attention == "auto" else settings.attention,
        output_loading_info=True,
    )
    if missing := sorted(outcome["missing_keys"]):  # transformers would draw them at random
        raise BadInput(
            f"model {source!r}: its files lack {len(missing):,} of the weights in config.json, such as {missing[0]}; "
            "complete the folder"
        )
    model.name_or_path = source
    return model


@torch.no_grad()
def _check_logits(model: Any, source: str) -> None:
    """Check that :func:`logits_of` gives the logits of the model's own forward pass.

    Raises:
        BadInput: if it does not; log-probabilities of completions would be wrong.
    """
    ids = torch.arange(4, device=model.device)[None]
    expected = model(input_ids=ids, use_cache=False).logits.float()
    actual = logits_of(model, hidden_states(model, input_ids=ids, use_cache=False)).float()
    tolerance = 1e-4 if model.dtype == torch.float32 else 2e-2
    if actual.shape != expected.shape or not torch.allclose(actual, expected, rtol=tolerance, atol=tolerance):
        raise BadInput(
            f"model {source!r}: {type(model).__name__} computes its logits in an unsupported way; "
            "choose another architecture, or report this one"
        )
