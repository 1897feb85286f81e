"""The native generator: samples completions with the policy itself, on any device.

Each prompt is computed once for its G completions, and finished rows leave the batch. Every row draws from random
numbers of its own (one uniform number per token, from its seed), so a sample does not depend on what else is in
the batch, and nothing about randomness needs saving.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omnithinker.errors import BadInput
from omnithinker.policy import Policy, pad_left, plain_attention
from omnithinker.types import Completion, Prompt, RolloutGroup

COMPACT_BELOW = 0.8
"""Finished rows are dropped once the live share falls below this; copying the cache more often does not pay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to draw a token."""

    temperature: float
    """Divides the logits; 0 takes the most likely token."""
    top_p: float = 1.0
    """Nucleus mass, after top-k."""
    top_k: int = 0
    """Number of candidates; 0 for all."""
    max_new_tokens: int
    """Token limit of a completion."""


def sample_seed(*parts: object) -> int:
    """A 63-bit seed that depends on every part and on nothing else."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generate(
    policy: Policy, prompts: Sequence[Prompt], seeds_PG: Sequence[Sequence[int]], sampling: Sampling
) -> Iterator[tuple[int, RolloutGroup]]:
    """Sample completions; a group is handed over as soon as its last completion ends.

    Args:
        policy: the model that speaks.
        prompts: [P] prompts with tokens.
        seeds_PG: [P][G] one seed per completion to draw.
        sampling: temperature and limits.

    Yields:
        (index of the prompt, its group of G unscored completions), in order of completion.
    """
    rows = _Rows(policy, prompts, seeds_PG, sampling)
    open_groups = [len(seeds) for seeds in seeds_PG]
    for finished in rows.decode():
        for b in finished:
            open_groups[rows.prompt[b]] -= 1
        for p in sorted({rows.prompt[b] for b in finished}):
            if open_groups[p] == 0:
                members = [b for b, owner in enumerate(rows.prompt) if owner == p]
                yield p, RolloutGroup(prompt=prompts[p], completions=tuple(map(rows.completion, members)))


class _Rows:
    """The B = P x G rows of one call to :func:`generate`."""

    def __init__(
        self, policy: Policy, prompts: Sequence[Prompt], seeds_PG: Sequence[Sequence[int]], sampling: Sampling
    ) -> None:
        if not plain_attention(policy.model):
            name = type(policy.model).__name__
            raise BadInput(f"model {name} has sliding or linear attention, which the native generator cannot share")
        self.policy, self.prompts, self.sampling = policy, prompts, sampling
        self.prompt = [p for p, seeds in enumerate(seeds_PG) for _ in seeds]
        self.seeds = [seed for seeds in seeds_PG for seed in seeds]
        count, limit = len(self.seeds), sampling.max_new_tokens
        self.ids_BT = torch.zeros(count, limit, dtype=torch.long)
        self.logprob_BT = torch.zeros(count, limit)
        self.entropy_BT = torch.zeros(count, limit)
        self.length_B = [limit] * count
        self.ended_B = [False] * count

    def completion(self, b: int) -> Completion:
        """Row ``b`` as a record."""
        length = self.length_B[b]
        ids = tuple(self.ids_BT[b, :length].tolist())
        return Completion(
            text=self.policy.decode(ids),
            token_ids=ids,
            logprobs=tuple(self.logprob_BT[b, :length].tolist()),
            entropies=tuple(self.entropy_BT[b, :length].tolist()),
            truncated=not self.ended_B[b],
            seed=self.seeds[b],
        )

    @torch.no_grad()
    def decode(self) -> Iterator[list[int]]:
        """Draw token after token; yields the rows that ended with each token."""
        policy, device = self.policy, self.policy.device
        uniforms_BT = self._uniforms().to(device)
        ids_PT, mask_PT = pad_left([prompt.token_ids for prompt in self.prompts], device)
        prefix = policy.model(
            input_ids=ids_PT,
            attention_mask=mask_PT.long(),
            position_ids=(mask_PT.cumsum(dim=1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
        )
        cache = prefix.past_key_values
        live = torch.tensor(self.prompt, device=device)
        cache.batch_select_indices(live)
        logits_BV, mask_BT, position_B = prefix.logits[live, -1], mask_PT[live], mask_PT.sum(dim=1)[live]
        rows = torch.arange(len(self.seeds), device=device)
        alive = torch.ones(len(rows), dtype=torch.bool, device=device)
        ends = torch.tensor(policy.end_ids, device=device)
        for t in range(self.sampling.max_new_tokens):
            token_B, logprob_B, entropy_B = draw(logits_BV, uniforms_BT[rows, t], self.sampling, policy.temperature)
            index = rows[alive].cpu()
            self.ids_BT[index, t] = token_B[alive].cpu()
            self.logprob_BT[index, t] = logprob_B[alive].cpu()
            self.entropy_BT[index, t] = entropy_B[alive].cpu()
            ended = torch.isin(token_B, ends) & alive
            finished: list[int] = rows[ended].tolist()
            for b in finished:
                self.length_B[b], self.ended_B[b] = t + 1, True
            alive = alive & ~ended
            remaining = int(alive.sum())
            if remaining == 0 or t + 1 == self.sampling.max_new_tokens:
                yield sorted(finished + rows[alive].tolist())
                return
            if finished:
                yield finished
            if remaining < COMPACT_BELOW * len(rows):
                keep = alive.nonzero().squeeze(1)
                cache.batch_select_indices(keep)
                rows, token_B, mask_BT, position_B = (
                    rows[keep],
                    token_B[keep],
                    mask_BT[keep],
                    position_B[keep],
                )
                alive = alive[keep]
            mask_BT = torch.cat([mask_BT, torch.ones_like(mask_BT[:, :1])], dim=1)
            output = policy.model(
                input_ids=token_B[:, None],
                attention_mask=mask_BT.long(),
                position_ids=position_B[:, None],
                past_key_values=cache,
                use_cache=True,
            )
            logits_BV, position_B = output.logits[:, -1], position_B + 1

    def _uniforms(self) -> Tensor:
        limit = self.sampling.max_new_tokens
        if self.sampling.temperature == 0:
            return torch.zeros(len(self.seeds), limit, dtype=torch.float64)
        numbers = [np.random.Generator(np.random.Philox(key=seed)).random(limit) for seed in self.seeds]
        return torch.from_numpy(np.stack(numbers))


def draw(
    logits_BV: Tensor, uniform_B: Tensor, sampling: Sampling, measure_temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one token per row by inverting the distribution function at the row's uniform number.

    Candidates are the top-k tokens, then the smallest set of them with mass top-p.

    Args:
        logits_BV: [B, V].
        uniform_B: [B] numbers in [0, 1).
        sampling: temperature, top-k, top-p.
        measure_temperature: temperature of the distribution whose log-probability and entropy are returned.

    Returns:
        token [B], its log-probability [B] and the entropy [B] under the full distribution, before top-k and top-p.
    """
    logits_BV = logits_BV.float()
    logprob_BV = (logits_BV / measure_temperature).log_softmax(dim=1)
    # 0 log 0 = 0: a token whose probability underflows adds nothing to the entropy.
    entropy_B = -(logprob_BV.exp() * logprob_BV.clamp(min=torch.finfo(torch.float32).min)).sum(dim=1)
    if sampling.temperature == 0:
        token_B = logits_BV.argmax(dim=1)
    else:
        count = min(sampling.top_k or logits_BV.shape[1], logits_BV.shape[1])
        top_BK, candidate_BK = logits_BV.topk(count, dim=1)
        # In float64 the cumulative sum is exact enough that rounding cannot lose or invent a candidate.
        probability_BK = (top_BK.double() / sampling.temperature).softmax(dim=1)
        before_BK = probability_BK.cumsum(dim=1) - probability_BK
        probability_BK = torch.where(before_BK < sampling.top_p, probability_BK, 0.0)
        cumulative_BK = probability_BK.cumsum(dim=1)
        threshold_B1 = uniform_B.double()[:, None] * cumulative_BK[:, -1:]
        choice_B1 = (cumulative_BK <= threshold_B1).sum(dim=1, keepdim=True)
        last_B1 = (probability_BK > 0).sum(dim=1, keepdim=True) - 1
        token_B = candidate_BK.gather(1, torch.minimum(choice_B1, last_B1)).squeeze(1)
    return token_B, logprob_BV.gather(1, token_B[:, None]).squeeze(1), entropy_B
