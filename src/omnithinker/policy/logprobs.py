"""Log-probabilities and entropies that a policy gives to trajectories.

P prompts, B trajectories, T tokens, V vocabulary; N is a number of actions, H the hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from omnithinker.policy.base import Policy
from omnithinker.policy.head import score_tokens, token_entropies
from omnithinker.policy.shared_prompt import SharedPrefix, can_share
from omnithinker.types import Prompt, Trajectory


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
    return _per_action(score_tokens, policy, batch, prefix, shared_prompt=shared_prompt)


@torch.no_grad()
def completion_entropies(policy: Policy, batch: TokenBatch) -> Tensor:
    """Entropy of the full-vocabulary distribution of every action at its row's temperature (nats).

    Returns:
        [B, T]; 0 where there is no action.
    """
    return _per_action(token_entropies, policy, batch)


def _per_action(
    score: Callable[[Tensor, Tensor, Any, Tensor], Tensor],
    policy: Policy,
    batch: TokenBatch,
    prefix: SharedPrefix | None = None,
    *,
    shared_prompt: bool = True,
) -> Tensor:
    """[B, T] score of every action, from (hidden states [N, H], token [N], model, temperature [N]); 0 elsewhere."""
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
        value_N = score(hidden_NH, batch.ids_BT.flatten()[action_N], policy.model, temperature_N)
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
