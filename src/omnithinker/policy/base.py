"""The policy: a causal language model with its tokenizer."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from omnithinker.policy.compiled import CompiledStep
from omnithinker.policy.tokenizer import ChatTokenizer


@dataclass(frozen=True, slots=True)
class Policy:
    """A model and its tokenizer."""

    model: Any
    """transformers causal language model, in evaluation mode (no dropout: log-probabilities are exact)."""
    tokenizer: ChatTokenizer
    """Its tokenizer, with a chat template."""
    adapter: Any = None
    """``PeftModel`` around ``model`` where a LoRA adapter is trained in its layers."""
    half: bool = False
    """Whether matrix products are made in bfloat16."""
    compiled: CompiledStep | None = None
    """A step of decoding, where it is compiled."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def trained(self) -> list[torch.nn.Parameter]:
        """The weights that training changes."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def computing(self) -> torch.autocast:
        """While it is open the model computes in the policy's number format."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def without_adapter(self) -> AbstractContextManager[None]:
        """While it is open the model answers as if it had no adapter."""
        if self.adapter is None:
            return nullcontext()
        disabled: AbstractContextManager[None] = self.adapter.disable_adapter()
        return disabled

    def save(self, folder: Path) -> None:
        """Write a folder that transformers, vLLM and merging tools can load (safetensors and tokenizer).

        With an adapter it is that of the adapter alone, which PEFT loads too.
        """
        if self.adapter is None:
            self.model.save_pretrained(folder)
        else:
            self.adapter.save_pretrained(folder, save_embedding_layers=False)
        self.tokenizer.hf.save_pretrained(folder)
