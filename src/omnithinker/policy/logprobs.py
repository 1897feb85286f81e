"""Log-probabilities and entropies that a policy gives to trajectories.

P prompts, B trajectories, T tokens, V vocabulary; N is a number of actions, H the hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers.cache_utils import Cache

from omnithinker.policy.base import Policy
from omnithinker.policy.shared_prompt import SharedPrefix, can_share
from omnithinker.types import Prompt, Trajectory

LOGITS_AT_ONCE = 2**24
"""Largest [tokens, V] array of logits held at once while training, in elements (64 MiB in float32)."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Prompts and trajectories as padded tensors; row b belongs to prompt ``prompt_B[b]``."""

    prompt_ids_PT: Tensor
    """[P, Tp] padded on the left."""
    prompt_mask_PT: Tensor
    """[P, Tp] True at prompt tokens."""
    prompt_B: Tensor
    """[B] index into the prompts."""
    ids_BT: Tensor
    """[B, T] tokens after the prompt, padded on the right."""
    attention_mask_BT: Tensor
    """[B, T] True at tokens that later tokens attend to; False at padding."""
    action_mask_BT: Tensor
    """[B, T] True at tokens that the policy chose: those that are scored and trained on."""
    temperature_B: Tensor
    """[B] log-probabilities are those of ``softmax(logits / temperature)``."""


def token_batch(
    prompts: Sequence[Prompt],
    rows: Sequence[tuple[int, Trajectory]],
    device: torch.device,
    temperatures: Sequence[float] | None = None,
) -> TokenBatch:
    """Pad prompts and trajectories.

    Args:
        prompts: P prompts with tokens.
        rows: B pairs (index of the prompt, trajectory with tokens).
        device: device of the tensors.
        temperatures: [B] temperature at which each row is scored; 1 by default.
    """
    prompt_ids, prompt_mask = pad_left([prompt.token_ids for prompt in prompts], device)
    temperature_B = torch.tensor([1.0] * len(rows) if temperatures is None else list(temperatures), dtype=torch.float64)
    return TokenBatch(
        prompt_ids_PT=prompt_ids,
        prompt_mask_PT=prompt_mask,
        prompt_B=torch.tensor([p for p, _ in rows]).to(device),
        ids_BT=pad_right([trajectory.token_ids for _, trajectory in rows], torch.long).to(device),
        attention_mask_BT=pad_right([trajectory.attention_mask for _, trajectory in rows], torch.bool).to(device),
        action_mask_BT=pad_right([trajectory.action_mask for _, trajectory in rows], torch.bool).to(device),
        temperature_B=temperature_B.to(device),
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


def pad_right(sequences: Sequence[Sequence[float]], dtype: torch.dtype) -> Tensor:
    """Values [B, T] padded on the right with 0."""
    padded = torch.zeros(len(sequences), max(map(len, sequences)), dtype=dtype)
    for b, sequence in enumerate(sequences):
        padded[b, : len(sequence)] = torch.tensor(sequence, dtype=dtype)
    return padded


def completion_logprobs(
    policy: Policy, batch: TokenBatch, prefix: SharedPrefix | None = None, *, shared_prompt: bool = True
) -> Tensor:
    """Log-probability of every action at its row's temperature, differentiable.

    Each prompt is computed once and its keys and values are shared by its trajectories. ``shared_prompt=False``
    repeats the prompt per row: the reference in tests, and the path for architectures that cannot share.

    Args:
        policy: the policy.
        batch: the trajectories.
        prefix: the batch's prompts, from :func:`compute_prefix`; computed here by default.
        shared_prompt: see above.

    Returns:
        [B, T]; 0 where there is no action.
    """
    return _per_action(_logprobs, policy, batch, prefix, shared_prompt=shared_prompt)


@torch.no_grad()
def completion_entropies(policy: Policy, batch: TokenBatch) -> Tensor:
    """Entropy of the full-vocabulary distribution of every action at its row's temperature (nats).

    Returns:
        [B, T]; 0 where there is no action.
    """
    return _per_action(_entropies, policy, batch)


def _per_action(
    measure: Callable[[Tensor, Tensor, Tensor], Tensor],
    policy: Policy,
    batch: TokenBatch,
    prefix: SharedPrefix | None = None,
    *,
    shared_prompt: bool = True,
) -> Tensor:
    """[B, T] a measure of (logits [N, V], token [N], temperature [N]) at every action; 0 elsewhere."""
    mask_BT = batch.action_mask_BT
    with policy.autocast():
        if shared_prompt and can_share(policy.model):
            hidden_BTH = _hidden_shared(policy.model, batch, prefix or _compute(policy.model, batch))
        else:
            hidden_BTH = _hidden_repeated(policy.model, batch)
        temperature_N = batch.temperature_B.repeat_interleave(mask_BT.sum(dim=1))
        # The backward pass of index_select is much faster than that of indexing by a mask.
        action_N = mask_BT.flatten().nonzero().squeeze(1)
        hidden_NH = hidden_BTH.flatten(0, 1).index_select(0, action_N)
        value_N = score_tokens(hidden_NH, batch.ids_BT.flatten()[action_N], policy.model, temperature_N, measure)
    # Actions come in row order, so their values can be scattered back by the mask.
    value_BT = torch.zeros(mask_BT.shape, dtype=value_N.dtype, device=value_N.device)
    return value_BT.masked_scatter(mask_BT, value_N)


@dataclass(frozen=True, slots=True)
class Reference:
    """The policy that training started from, for the KL term of Eq. 5.

    The frozen base model, or the policy in training with its adapter disabled.
    """

    policy: Policy

    @torch.no_grad()
    def logprobs(self, batch: TokenBatch, prefix: SharedPrefix | None = None) -> Tensor:
        """[B, T] log-probability of every action; 0 elsewhere."""
        with self.policy.without_adapter():
            return completion_logprobs(self.policy, batch, prefix)

    @torch.no_grad()
    def compute_prefix(self, batch: TokenBatch) -> SharedPrefix | None:
        """As :func:`compute_prefix`, for this policy."""
        with self.policy.without_adapter():
            return compute_prefix(self.policy, batch)


def compute_prefix(policy: Policy, batch: TokenBatch) -> SharedPrefix | None:
    """Compute a batch's prompts once for several micro-batches of their trajectories.

    Gradients stop at them until :meth:`~omnithinker.policy.shared_prompt.SharedPrefix.backward` is called. None for an
    architecture that cannot share.
    """
    if not can_share(policy.model):
        return None
    with policy.autocast():
        return _compute(policy.model, batch, detached=True)


def _compute(model: Any, batch: TokenBatch, *, detached: bool = False) -> SharedPrefix:
    def forward(cache: Cache) -> Tensor:
        return hidden_states(
            model,
            input_ids=batch.prompt_ids_PT,
            attention_mask=batch.prompt_mask_PT.long(),
            position_ids=(batch.prompt_mask_PT.cumsum(dim=1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
        )

    return SharedPrefix(forward, detached=detached)


def _hidden_shared(model: Any, batch: TokenBatch, prefix: SharedPrefix) -> Tensor:
    """[B, T, H] hidden states that predict the tokens of each row."""
    first_B1H = prefix.last_PH.index_select(0, batch.prompt_B)[:, None]
    if batch.ids_BT.shape[1] == 1:
        return first_B1H
    mask_BT = torch.cat([batch.prompt_mask_PT[batch.prompt_B], batch.attention_mask_BT[:, :-1]], dim=1)
    start_B1 = batch.prompt_mask_PT.sum(dim=1)[batch.prompt_B][:, None]
    rest_BTH = hidden_states(
        model,
        input_ids=batch.ids_BT[:, :-1],
        attention_mask=mask_BT.long(),
        position_ids=start_B1 + (batch.attention_mask_BT[:, :-1].cumsum(dim=1) - 1).clamp(min=0),
        past_key_values=prefix.cache_for(batch.prompt_B),
        use_cache=True,
    )
    return torch.cat([first_B1H, rest_BTH], dim=1)


def _hidden_repeated(model: Any, batch: TokenBatch) -> Tensor:
    """[B, T, H] hidden states that predict the tokens of each row; the prompt is repeated."""
    ids = torch.cat([batch.prompt_ids_PT[batch.prompt_B], batch.ids_BT], dim=1)
    mask = torch.cat([batch.prompt_mask_PT[batch.prompt_B], batch.attention_mask_BT], dim=1)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    hidden = hidden_states(model, input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False)
    return hidden[:, batch.prompt_ids_PT.shape[1] - 1 : -1]


def hidden_states(model: Any, **inputs: Any) -> Tensor:
    """[B, T, H] input of the output embedding."""
    return model.base_model(**inputs).last_hidden_state  # type: ignore[no-any-return]


def logits_of(model: Any, hidden: Tensor) -> Tensor:
    """[..., V] logits of hidden states [..., H], as the model's own forward computes them.

    Beyond the output embedding some families scale or cap: Granite divides, Cohere and Falcon-H1 multiply, Gemma caps.
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


class _LogProbs(torch.autograd.Function):
    """Log-probability of tokens; the backward pass works in place on a single array of float32 logits."""

    @staticmethod
    def forward(context: Any, logits_NV: Tensor, token_N: Tensor, temperature_N: Tensor) -> Tensor:
        scaled_NV = _scaled(logits_NV, temperature_N)
        normalizer_N = scaled_NV.logsumexp(dim=1)
        context.save_for_backward(logits_NV, token_N, temperature_N, normalizer_N)
        return scaled_NV.gather(1, token_N[:, None]).squeeze(1) - normalizer_N

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        logits_NV, token_N, temperature_N, normalizer_N = context.saved_tensors
        # d log p(token) / d logits = (one-hot(token) - p) / temperature
        scale_N1 = (gradients[0] / temperature_N.to(gradients[0].dtype))[:, None]
        gradient_NV = (_scaled(logits_NV, temperature_N) - normalizer_N[:, None]).exp_().mul_(-scale_N1)
        return gradient_NV.scatter_add_(1, token_N[:, None], scale_N1).to(logits_NV.dtype), None, None


def _logprobs(logits_NV: Tensor, token_N: Tensor, temperature_N: Tensor) -> Tensor:
    return _LogProbs.apply(logits_NV, token_N, temperature_N)  # type: ignore[no-any-return, no-untyped-call]


def _scaled(logits_NV: Tensor, temperature_N: Tensor) -> Tensor:
    """Logits over temperature; half-precision ones are widened, wider ones stay as they are."""
    wide_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
    if bool((temperature_N == 1).all()):
        return wide_NV
    return wide_NV / temperature_N.to(wide_NV.dtype)[:, None]


def _entropies(logits_NV: Tensor, token_N: Tensor, temperature_N: Tensor) -> Tensor:
    logits_NV = _scaled(logits_NV, temperature_N)
    # 0 log 0 = 0: a token whose probability underflows adds nothing.
    logprob_NV = logits_NV.log_softmax(dim=1).clamp(min=torch.finfo(logits_NV.dtype).min)
    return -(logprob_NV.exp() * logprob_NV).sum(dim=1)


def score_tokens(
    hidden_NH: Tensor,
    token_N: Tensor,
    model: Any,
    temperature_N: Tensor,
    measure: Callable[[Tensor, Tensor, Tensor], Tensor] = _logprobs,
) -> Tensor:
    """[N] log-probability (or another measure) of each token; logits are computed in chunks and never held whole.

    Args:
        hidden_NH: [N, H] hidden states that predict the tokens.
        token_N: [N] token ids.
        model: the model, for its output embedding.
        temperature_N: [N] divides the logits.
        measure: maps (logits [N, V], token [N], temperature [N]) to [N].
    """

    def score_chunk(hidden: Tensor, token: Tensor, temperature: Tensor) -> Tensor:
        return measure(logits_of(model, hidden), token, temperature)

    size = max(1, LOGITS_AT_ONCE // model.get_output_embeddings().weight.shape[0])
    if len(token_N) <= size:
        return score_chunk(hidden_NH, token_N, temperature_N)
    chunks = zip(hidden_NH.split(size), token_N.split(size), temperature_N.split(size), strict=True)
    pieces = [checkpoint(score_chunk, *chunk, use_reentrant=False) for chunk in chunks]
    return torch.cat(pieces)
