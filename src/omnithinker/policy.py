"""The policy: a causal language model with its tokenizer, and the log-probabilities it gives to completions.

Works with any decoder that transformers loads. N is a number of scored tokens, H the hidden size.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from omnithinker.errors import BadInput
from omnithinker.lab import MODEL_PATH as LAB_MODEL
from omnithinker.recipe import ModelSettings
from omnithinker.types import Completion, Prompt

LOGITS_AT_ONCE = 2**24
"""Most elements of a [tokens, V] array of logits held at once while training (64 MiB in float32)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A model and its tokenizer."""

    model: Any
    """transformers causal language model, in evaluation mode (no dropout: log-probabilities are exact)."""
    tokenizer: Any
    """Its tokenizer, with a chat template."""

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
        self, text: str, system: str | None, limit: int, overlong: Literal["drop", "cut_left", "cut_right"]
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
            part = content[-keep:] if overlong == "cut_left" else content[:keep]
            ids = self.encode(str(self.tokenizer.decode(part)), system)
        return ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of a completion, end tokens removed."""
        ends = set(self.end_ids)
        kept = [token for token in token_ids if token not in ends]
        return str(self.tokenizer.decode(kept, skip_special_tokens=True))

    def frozen_copy(self) -> Policy:
        """An independent copy that is never trained: the reference policy of Eq. 5."""
        model = copy.deepcopy(self.model).requires_grad_(False)
        return Policy(model, self.tokenizer)

    def save(self, folder: Path) -> None:
        """Write a folder that transformers, vLLM and merging tools can load (safetensors and tokenizer)."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def load_policy(settings: ModelSettings, path: str | Path | None = None) -> Policy:
    """Load a model and tokenizer.

    Args:
        settings: device, number format, and the path unless ``path`` is given.
        path: folder to load instead of ``settings.path``, such as a checkpoint.

    Raises:
        BadInput: there is no such model, or it has no chat template.
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
    return Policy(model, tokenizer)


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Prompts and completions as padded tensors; row b is a completion of prompt ``prompt_B[b]``."""

    prompt_ids_PT: Tensor
    """[P, Tp] padded on the left."""
    prompt_mask_PT: Tensor
    """[P, Tp] True at prompt tokens."""
    prompt_B: Tensor
    """[B] index into the prompts."""
    ids_BT: Tensor
    """[B, T] completion tokens, padded on the right."""
    mask_BT: Tensor
    """[B, T] True at completion tokens."""
    temperature_B: Tensor
    """[B] log-probabilities are those of ``softmax(logits / temperature)``."""


def token_batch(
    prompts: Sequence[Prompt],
    rows: Sequence[tuple[int, Completion]],
    device: torch.device,
    temperatures: Sequence[float] | None = None,
) -> TokenBatch:
    """Pad prompts and completions.

    Args:
        prompts: P prompts with tokens.
        rows: B pairs (index of the prompt, completion with tokens).
        device: where the tensors go.
        temperatures: [B] at which each row is scored; by default 1.
    """
    prompt_ids, prompt_mask = pad_left([prompt.token_ids for prompt in prompts], device)
    width = max(len(completion.token_ids) for _, completion in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for b, (_, completion) in enumerate(rows):
        length = len(completion.token_ids)
        ids[b, :length] = torch.tensor(completion.token_ids)
        mask[b, :length] = True
    prompt_B = torch.tensor([p for p, _ in rows])
    temperature_B = torch.tensor([1.0] * len(rows) if temperatures is None else list(temperatures), dtype=torch.float64)
    return TokenBatch(
        prompt_ids, prompt_mask, prompt_B.to(device), ids.to(device), mask.to(device), temperature_B.to(device)
    )


def pad_left(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids [P, T] padded on the left with 0, and their mask [P, T]."""
    width = max(map(len, sequences))
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    mask = torch.zeros(len(sequences), width, dtype=torch.bool)
    for p, sequence in enumerate(sequences):
        ids[p, width - len(sequence) :] = torch.tensor(sequence)
        mask[p, width - len(sequence) :] = True
    return ids.to(device), mask.to(device)


def completion_logprobs(policy: Policy, batch: TokenBatch, *, shared_prompt: bool = True) -> Tensor:
    """Log-probability of every completion token at its row's temperature, differentiable.

    Each prompt is computed once and its keys and values are shared by its completions; only completion tokens are
    scored. ``shared_prompt=False`` is the plain way (prompt repeated per row), the reference in tests and the path
    for architectures whose cache is not plain attention.

    Returns:
        [B, T]; 0 at padding.
    """
    if shared_prompt and plain_attention(policy.model):
        hidden_BTH = _hidden_shared(policy.model, batch)
    else:
        hidden_BTH = _hidden_repeated(policy.model, batch)
    temperature_N = batch.temperature_B.repeat_interleave(batch.mask_BT.sum(dim=1))
    logprob_N = score_tokens(hidden_BTH[batch.mask_BT], batch.ids_BT[batch.mask_BT], policy.model, temperature_N)
    # A completion's entries come in row order, so they can be scattered back by the mask.
    logprob_BT = torch.zeros(batch.mask_BT.shape, dtype=logprob_N.dtype, device=logprob_N.device)
    return logprob_BT.masked_scatter(batch.mask_BT, logprob_N)


def plain_attention(model: Any) -> bool:
    """Whether every layer is full attention, so that its cache can be indexed by row."""
    kinds = getattr(model.config, "layer_types", None)
    return kinds is None or set(kinds) <= {"full_attention"}


def _hidden_shared(model: Any, batch: TokenBatch) -> Tensor:
    """[B, T, H] hidden states that predict the completion tokens; prompts computed once."""
    positions_PT = (batch.prompt_mask_PT.cumsum(dim=1) - 1).clamp(min=0)
    prefix = model.base_model(
        input_ids=batch.prompt_ids_PT,
        attention_mask=batch.prompt_mask_PT.long(),
        position_ids=positions_PT,
        use_cache=True,
    )
    first_B1H = prefix.last_hidden_state[:, -1:][batch.prompt_B]
    if batch.ids_BT.shape[1] == 1:
        return first_B1H  # type: ignore[no-any-return]
    cache = prefix.past_key_values
    cache.batch_select_indices(batch.prompt_B)
    mask_BT = torch.cat([batch.prompt_mask_PT[batch.prompt_B], batch.mask_BT[:, :-1]], dim=1)
    start_B1 = batch.prompt_mask_PT.sum(dim=1)[batch.prompt_B][:, None]
    positions_BT = start_B1 + torch.arange(batch.ids_BT.shape[1] - 1, device=start_B1.device)
    rest = model.base_model(
        input_ids=batch.ids_BT[:, :-1],
        attention_mask=mask_BT.long(),
        position_ids=positions_BT,
        past_key_values=cache,
        use_cache=True,
    )
    return torch.cat([first_B1H, rest.last_hidden_state], dim=1)


def _hidden_repeated(model: Any, batch: TokenBatch) -> Tensor:
    """[B, T, H] hidden states that predict the completion tokens; the plain way."""
    ids = torch.cat([batch.prompt_ids_PT[batch.prompt_B], batch.ids_BT], dim=1)
    mask = torch.cat([batch.prompt_mask_PT[batch.prompt_B], batch.mask_BT], dim=1)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    output = model.base_model(input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False)
    start = batch.prompt_ids_PT.shape[1] - 1
    return output.last_hidden_state[:, start:-1]  # type: ignore[no-any-return]


def score_tokens(hidden_NH: Tensor, target_N: Tensor, model: Any, temperature_N: Tensor) -> Tensor:
    """[N] log-probability of each target token; logits are made in chunks and never held whole.

    Args:
        hidden_NH: [N, H] hidden states that predict the targets.
        target_N: [N] token ids.
        model: its output embedding turns hidden states into logits.
        temperature_N: [N] divides the logits.
    """
    head = model.get_output_embeddings()

    def chunk_logprobs(hidden: Tensor, target: Tensor, temperature: Tensor) -> Tensor:
        logits = head(hidden)
        # Half-precision logits are widened before the log-sum-exp; wider ones stay as they are.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature.to(logits.dtype)[:, None]
        chosen = logits.gather(1, target[:, None]).squeeze(1)
        return chosen - logits.logsumexp(dim=1)  # type: ignore[no-any-return]

    size = max(1, LOGITS_AT_ONCE // head.weight.shape[0])
    if len(target_N) <= size:
        return chunk_logprobs(hidden_NH, target_N, temperature_N)
    chunks = zip(hidden_NH.split(size), target_N.split(size), temperature_N.split(size), strict=True)
    pieces = [checkpoint(chunk_logprobs, *chunk, use_reentrant=False) for chunk in chunks]
    return torch.cat(pieces)


# Hub look-ups of telemetry and updates have no place in a training run.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
