"""Loading a policy: any causal language model that transformers loads, checked for what training needs of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from omnithinker.config.model import LoraSettings, ModelSettings
from omnithinker.errors import BadInput
from omnithinker.policy import adapter
from omnithinker.policy.attention import speed_up_decoding
from omnithinker.policy.base import Policy
from omnithinker.policy.compiled import CompiledStep
from omnithinker.policy.logprobs import hidden_states, logits_of
from omnithinker.policy.recompute import recompute_layers
from omnithinker.policy.shared_prompt import can_share
from omnithinker.policy.tokenizer import cannot_load, load_tokenizer, model_source

# Hub look-ups of telemetry and updates have no place in a training run.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def load_policy(settings: ModelSettings, path: str | Path | None = None) -> Policy:
    """Load a model and tokenizer.

    Args:
        settings: device, number format, and the path unless ``path`` is given.
        path: folder to load instead of ``settings.path``, such as a checkpoint. An adapter is merged into its base.

    Raises:
        BadInput: there is no such model, it has no chat template, or its logits are made in an unknown way.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    gpu = _takes_gpu(settings)
    source = model_source(settings, path)
    tokenizer = load_tokenizer(settings, path)
    try:
        model = _load_model(source, settings)
    except (OSError, ValueError, ImportError) as error:
        raise cannot_load(source, error) from error
    model = model.to(torch.device("cuda" if gpu else "cpu")).eval()
    if settings.attention == "auto":
        speed_up_decoding(model)
    _check_logits(model, source)
    check_compilable(settings, model)
    compiled = CompiledStep(model) if settings.compile else None
    return Policy(model, tokenizer, half=settings.halves(gpu), compiled=compiled)


def check_compilable(settings: ModelSettings, model: Any) -> None:
    """Make sure that decoding can be compiled if the settings ask for it.

    Raises:
        BadInput: layers keep more than keys and values.
    """
    if settings.compile and not can_share(model):
        raise BadInput(f"model.compile: {type(model).__name__} has layers with a running state; leave it off")


def _takes_gpu(settings: ModelSettings) -> bool:
    """Whether the model goes to a GPU.

    Raises:
        BadInput: the settings need one and there is none.
    """
    cuda = torch.cuda.is_available()
    if settings.device == "cuda" and not cuda:
        raise BadInput("model.device is 'cuda' but PyTorch sees no GPU; use 'auto' or 'cpu'")
    gpu = cuda and settings.device != "cpu"
    if settings.attention not in ("auto", "sdpa", "eager") and not gpu:
        raise BadInput(f"model.attention = {settings.attention!r} needs a GPU; use 'auto'")
    return gpu


def load_trained(settings: ModelSettings, *, seed: int, checkpoint: Path | None = None) -> Policy:
    """The policy that a run trains: all weights, or an adapter, as the settings say.

    Args:
        settings: of the model.
        seed: fixes a new adapter's first weights.
        checkpoint: folder that a policy of the same settings was saved to; by default training begins.

    Raises:
        BadInput: as in :func:`load_policy`, and for weights that updates would be lost in.
    """
    check_trainable(settings)
    if settings.lora is None:
        policy = _all_weights(settings, checkpoint)
    else:
        policy = _adapter(settings, settings.lora, seed, checkpoint)
    if settings.recomputes(policy.device.type == "cuda"):
        recompute_layers(policy.model)
    return policy


def check_trainable(settings: ModelSettings) -> None:
    """Make sure that updates can be held by the weights they are made to.

    Raises:
        BadInput: they would be lost.
    """
    if settings.lora is None and settings.dtype == "bfloat16":
        raise BadInput(
            "model.dtype = 'bfloat16' without model.lora: most updates are smaller than such weights can hold; "
            "use 'float32' (and model.compute = 'bfloat16'), or train an adapter"
        )


def _all_weights(settings: ModelSettings, checkpoint: Path | None) -> Policy:
    policy = load_policy(settings, checkpoint)
    if settings.freeze_embeddings:
        freeze_embeddings(policy.model)
    return policy


def freeze_embeddings(model: Any) -> None:
    """Leave a model's input and output embeddings out of training."""
    model.get_input_embeddings().requires_grad_(False)
    model.get_output_embeddings().requires_grad_(False)


def _adapter(settings: ModelSettings, lora: LoraSettings, seed: int, checkpoint: Path | None) -> Policy:
    base = load_policy(settings)
    if checkpoint is None:
        return replace(base, adapter=adapter.new_adapter(base.model, lora, seed))
    return replace(base, adapter=adapter.load_adapter(base.model, checkpoint, trainable=True))


def _load_model(source: str, settings: ModelSettings) -> Any:
    """A model; one that is stored as an adapter is its base with the adapter merged into the weights."""
    import transformers

    base = adapter.base_of(source)
    if base is not None:
        model = adapter.load_adapter(_load_model(base, settings), source, trainable=False).merge_and_unload()
        model.name_or_path = source
        return model
    return transformers.AutoModelForCausalLM.from_pretrained(
        source,
        dtype=getattr(torch, settings.dtype),
        trust_remote_code=settings.trust_remote_code,
        use_safetensors=True,
        attn_implementation=None if settings.attention == "auto" else settings.attention,
    )


@torch.no_grad()
def _check_logits(model: Any, source: str) -> None:
    """Make sure that hidden states give the logits that the model's own forward gives.

    Raises:
        BadInput: they do not, so that log-probabilities of completions would be wrong.
    """
    ids = torch.arange(4, device=model.device)[None]
    expected = model(input_ids=ids, use_cache=False).logits.float()
    found = logits_of(model, hidden_states(model, input_ids=ids, use_cache=False)).float()
    tolerance = 1e-4 if model.dtype == torch.float32 else 2e-2
    if found.shape != expected.shape or not torch.allclose(found, expected, rtol=tolerance, atol=tolerance):
        raise BadInput(
            f"model {source!r}: {type(model).__name__} makes its logits in a way that is not known here; "
            "choose another architecture, or report this one"
        )
