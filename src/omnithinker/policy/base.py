"""The policy: a causal language model with its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from omnithinker.policy.compiled import CompiledStep


@dataclass(frozen=True, slots=True)
class Policy:
    """A model and its tokenizer."""

    model: Any
    """transformers causal language model, in evaluation mode (no dropout: log-probabilities are exact)."""
    tokenizer: Any
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
    def end_ids(self) -> tuple[int, ...]:
        """Tokens that end a completion."""
        ends = self.model.generation_config.eos_token_id
        if ends is None:
            ends = self.tokenizer.eos_token_id
        return tuple(ends) if isinstance(ends, list | tuple) else (int(ends),)

    def encode(self, text: str, system: str | None = None) -> tuple[int, ...]:
        """Render a user message with the chat template, generation prompt included."""
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text})
        ids = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        return tuple(ids["input_ids"])

    def encode_within(
        self, text: str, system: str | None, limit: int, overlong: Literal["drop", "truncate_left", "truncate_right"]
    ) -> tuple[int, ...] | None:
        """Like :meth:`encode`, with at most ``limit`` tokens: a longer message is dropped (None) or cut on one side.

        None also where the template and the system message alone are too long.
        """
        ids = self.encode(text, system)
        content = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        keep = len(content) if overlong != "drop" else 0
        # Tokens at the cut may be split another way than before, so what is left is measured again.
        while len(ids) > limit:
            keep -= len(ids) - limit
            if keep <= 0:
                return None
            part = content[-keep:] if overlong == "truncate_left" else content[:keep]
            ids = self.encode(str(self.tokenizer.decode(part)), system)
        return ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of a completion, end tokens removed."""
        ends = set(self.end_ids)
        kept = [token for token in token_ids if token not in ends]
        return str(self.tokenizer.decode(kept, skip_special_tokens=True))

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
        self.tokenizer.save_pretrained(folder)
