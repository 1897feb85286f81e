"""Loading a policy: any causal language model that transformers loads, checked for what training needs of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from omnithinker.errors import BadInput
from omnithinker.lab import MODEL_PATH as LAB_MODEL
from omnithinker.logprobs import hidden_states, logits_of
from omnithinker.policy import Policy
from omnithinker.recipe import ModelSettings

# Hub look-ups of telemetry and updates have no place in a training run.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def load_policy(settings: ModelSettings, path: str | Path | None = None) -> Policy:
    """Load a model and tokenizer.

    Args:
        settings: device, number format, and the path unless ``path`` is given.
        path: folder to load instead of ``settings.path``, such as a checkpoint.

    Raises:
        BadInput: there is no such model, it has no chat template, or its logits are made in an unknown way.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    source = str(path or settings.path)
    if source == "lab":
        source = str(LAB_MODEL)
    trust = settings.trust_remote_code
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=trust)
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            source, dtype=getattr(torch, settings.dtype), trust_remote_code=trust, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(f"model {source!r} cannot be loaded: {reason}") from error
    if tokenizer.chat_template is None:
        raise BadInput(f"model {source!r} has no chat template; choose an instruction-tuned model or add one")
    cuda = torch.cuda.is_available()
    if settings.device == "cuda" and not cuda:
        raise BadInput("model.device is 'cuda' but PyTorch sees no GPU; use 'auto' or 'cpu'")
    device = "cuda" if cuda and settings.device != "cpu" else "cpu"
    model = model.to(torch.device(device)).eval()
    _check_logits(model, source)
    return Policy(model, tokenizer)


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
