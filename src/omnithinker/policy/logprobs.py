"""Log-probabilities that a policy gives to completions, differentiable.

P prompts, B completions, T tokens, V vocabulary; N is a number of scored tokens, H the hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers.cache_utils import Cache

from omnithinker.policy.base import Policy
from omnithinker.policy.shared_prompt import Prompts, can_share
from omnithinker.types import Prompt, Trajectory

LOGITS_AT_ONCE = 2**24
"""Most elements of a [tokens, V] array of logits held at once while training (64 MiB in float32)."""


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
    rows: Sequence[tuple[int, Trajectory]],
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


def completion_logprobs(
    policy: Policy, batch: TokenBatch, prompts: Prompts | None = None, *, shared_prompt: bool = True
) -> Tensor:
    """Log-probability of every completion token at its row's temperature, differentiable.

    Each prompt is computed once and its keys and values are shared by its completions; only completion tokens are
    scored. ``shared_prompt=False`` is the plain way (prompt repeated per row), the reference in tests and the path
    for architectures that cannot share.

    Args:
        policy: whose log-probabilities.
        batch: the completions.
        prompts: the batch's prompts, from :func:`compute_prompts`; by default they are computed here.
        shared_prompt: see above.

    Returns:
        [B, T]; 0 at padding.
    """
    with policy.computing():
        if shared_prompt and can_share(policy.model):
            hidden_BTH = _hidden_shared(policy.model, batch, prompts or _compute(policy.model, batch))
        else:
            hidden_BTH = _hidden_repeated(policy.model, batch)
        temperature_N = batch.temperature_B.repeat_interleave(batch.mask_BT.sum(dim=1))
        # The backward pass of index_select is much faster than that of indexing by a mask.
        scored_N = batch.mask_BT.flatten().nonzero().squeeze(1)
        hidden_NH = hidden_BTH.flatten(0, 1).index_select(0, scored_N)
        logprob_N = score_tokens(hidden_NH, batch.ids_BT.flatten()[scored_N], policy.model, temperature_N)
    # A completion's entries come in row order, so they can be scattered back by the mask.
    logprob_BT = torch.zeros(batch.mask_BT.shape, dtype=logprob_N.dtype, device=logprob_N.device)
    return logprob_BT.masked_scatter(batch.mask_BT, logprob_N)


@dataclass(frozen=True, slots=True)
class Reference:
    """The policy that training started from, for the KL term of Eq. 5.

    A model of its own, or the policy that is being trained with its adapter switched off.
    """

    policy: Policy

    @torch.no_grad()
    def logprobs(self, batch: TokenBatch, prompts: Prompts | None = None) -> Tensor:
        """[B, T] log-probability of every completion token; 0 at padding."""
        with self.policy.without_adapter():
            return completion_logprobs(self.policy, batch, prompts)

    @torch.no_grad()
    def compute_prompts(self, batch: TokenBatch) -> Prompts | None:
        """As :func:`compute_prompts`, for this policy."""
        with self.policy.without_adapter():
            return compute_prompts(self.policy, batch)


def compute_prompts(policy: Policy, batch: TokenBatch) -> Prompts | None:
    """A batch's prompts, computed once for several micro-batches of their completions.

    Gradients stop at them until :meth:`~omnithinker.policy.shared_prompt.Prompts.backward` is called. None for an
    architecture that cannot share.
    """
    if not can_share(policy.model):
        return None
    with policy.computing():
        return _compute(policy.model, batch, detached=True)


def _compute(model: Any, batch: TokenBatch, *, detached: bool = False) -> Prompts:
    def forward(cache: Cache) -> Tensor:
        return hidden_states(
            model,
            input_ids=batch.prompt_ids_PT,
            attention_mask=batch.prompt_mask_PT.long(),
            position_ids=(batch.prompt_mask_PT.cumsum(dim=1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
        )

    return Prompts(forward, detached=detached)


def _hidden_shared(model: Any, batch: TokenBatch, prompts: Prompts) -> Tensor:
    """[B, T, H] hidden states that predict the completion tokens."""
    first_B1H = prompts.last_PH.index_select(0, batch.prompt_B)[:, None]
    if batch.ids_BT.shape[1] == 1:
        return first_B1H
    mask_BT = torch.cat([batch.prompt_mask_PT[batch.prompt_B], batch.mask_BT[:, :-1]], dim=1)
    start_B1 = batch.prompt_mask_PT.sum(dim=1)[batch.prompt_B][:, None]
    rest_BTH = hidden_states(
        model,
        input_ids=batch.ids_BT[:, :-1],
        attention_mask=mask_BT.long(),
        position_ids=start_B1 + torch.arange(batch.ids_BT.shape[1] - 1, device=start_B1.device),
        past_key_values=prompts.rows(batch.prompt_B),
        use_cache=True,
    )
    return torch.cat([first_B1H, rest_BTH], dim=1)


def _hidden_repeated(model: Any, batch: TokenBatch) -> Tensor:
    """[B, T, H] hidden states that predict the completion tokens; the plain way."""
    ids = torch.cat([batch.prompt_ids_PT[batch.prompt_B], batch.ids_BT], dim=1)
    mask = torch.cat([batch.prompt_mask_PT[batch.prompt_B], batch.mask_BT], dim=1)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    hidden = hidden_states(model, input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False)
    return hidden[:, batch.prompt_ids_PT.shape[1] - 1 : -1]


def hidden_states(model: Any, **inputs: Any) -> Tensor:
    """[B, T, H] what the model's decoder hands to its output embedding."""
    return model.base_model(**inputs).last_hidden_state  # type: ignore[no-any-return]


def logits_of(model: Any, hidden: Tensor) -> Tensor:
    """[..., V] the logits that the model's own forward makes of hidden states [..., H].

    Beside the output embedding that is what some families' configurations ask for: Granite divides, Cohere and
    Falcon-H1 multiply, Gemma caps.
    """
    config = model.config.get_text_config()
    logits: Tensor = model.get_output_embeddings()(hidden)
    if divisor := getattr(config, "logits_scaling", None):
        logits = logits / divisor
    for factor in filter(None, (getattr(config, name, None) for name in ("logit_scale", "lm_head_multiplier"))):
        logits = logits * factor
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = (logits / cap).tanh() * cap
    return logits


def score_tokens(hidden_NH: Tensor, target_N: Tensor, model: Any, temperature_N: Tensor) -> Tensor:
    """[N] log-probability of each target token; logits are made in chunks and never held whole.

    Args:
        hidden_NH: [N, H] hidden states that predict the targets.
        target_N: [N] token ids.
        model: turns hidden states into logits.
        temperature_N: [N] divides the logits.
    """

    def chunk_logprobs(hidden: Tensor, target: Tensor, temperature: Tensor) -> Tensor:
        logits = logits_of(model, hidden)
        # Half-precision logits are widened before the log-sum-exp; wider ones stay as they are.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature.to(logits.dtype)[:, None]
        chosen = logits.gather(1, target[:, None]).squeeze(1)
        return chosen - logits.logsumexp(dim=1)

    size = max(1, LOGITS_AT_ONCE // model.get_output_embeddings().weight.shape[0])
    if len(target_N) <= size:
        return chunk_logprobs(hidden_NH, target_N, temperature_N)
    chunks = zip(hidden_NH.split(size), target_N.split(size), temperature_N.split(size), strict=True)
    pieces = [checkpoint(chunk_logprobs, *chunk, use_reentrant=False) for chunk in chunks]
    return torch.cat(pieces)
