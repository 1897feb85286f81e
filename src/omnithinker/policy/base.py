"""The policy: a causal language model with its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

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

    def converts_weights_once(self) -> torch.autocast:
        """Return a context manager in which several :meth:`autocast` contexts share their bfloat16 copies of weights.

        Leave it before the weights change. A trained weight must not be used without gradients first: its copy would
        have none.
        """
        return torch.autocast(self.device.type, enabled=False)  # an outer context keeps the cache of inner ones

    def without_adapter(self) -> AbstractContextManager[None]:
        """Return a context manager in which the model computes without its adapter."""
        if self.adapter is None:
            return nullcontext()
        disabled: AbstractContextManager[None] = self.adapter.disable_adapter()
        return disabled

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights that :meth:`save` writes, by name; frozen ones of an adapter's base included."""
        weights: dict[str, Tensor] = (self.adapter or self.model).state_dict()
        return weights

    def save(self, folder: Path, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write a folder that transformers, vLLM and merging tools load: safetensors and tokenizer.

        With an adapter, only the adapter is written, in PEFT's format.

        Args:
            folder: the folder.
            weights: values to write instead of the present ones, with the names of :meth:`state_dict`.
        """
        if self.adapter is None:
            self.model.save_pretrained(folder, state_dict=weights)
        else:
            self.adapter.save_pretrained(folder, save_embedding_layers=False, state_dict=weights)
        self.tokenizer.hf.save_pretrained(folder)
