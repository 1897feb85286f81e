"""The policy: a causal language model with its tokenizer."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from omnithinker.policy.tokenizer import ChatTokenizer


@dataclass(frozen=True, slots=True)
class Policy:
    """A model and its tokenizer."""

    model: Any
    """transformers causal language model, in evaluation mode (no dropout: log-probabilities are exact)."""
    tokenizer: ChatTokenizer
    """Its tokenizer, with a chat template."""
    adapter: Any = None
    """``PeftModel`` around ``model`` if a LoRA adapter is trained in its layers."""
    bfloat16: bool = False
    """True if matrix products are computed in bfloat16 (autocast)."""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def trained(self) -> list[torch.nn.Parameter]:
        """Trainable weights."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def autocast(self) -> torch.autocast:
        """Return a context manager in which the model computes in the policy's number format."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def without_adapter(self) -> AbstractContextManager[None]:
        """Return a context manager in which the model computes without its adapter."""
        if self.adapter is None:
            return nullcontext()
        disabled: AbstractContextManager[None] = self.adapter.disable_adapter()
        return disabled

    def save(self, folder: Path) -> None:
        """Write a folder that transformers, vLLM and merging tools load: safetensors and tokenizer.

        With an adapter, only the adapter is written, in PEFT's format.
        """
        if self.adapter is None:
            self.model.save_pretrained(folder)
        else:
            self.adapter.save_pretrained(folder, save_embedding_layers=False)
        self.tokenizer.hf.save_pretrained(folder)
