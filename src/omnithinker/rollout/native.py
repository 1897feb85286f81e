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

from omnithinker.config.sampling import SamplingSettings
from omnithinker.policy.base import Policy
from omnithinker.rollout.decoding import start
from omnithinker.types import Prompt, RolloutGroup, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to draw the completions of a prompt."""

    temperature: float
    """Divides the logits; 0 takes the most likely token, and records what it has at temperature 1."""
    top_p: float = 1.0
    """Nucleus mass, after top-k."""
    top_k: int = 0
    """Number of candidates; 0 for all."""
    max_new_tokens: int
    """Token limit of a completion."""


def sampling_of(settings: SamplingSettings, *, greedy: bool = False) -> Sampling:
    """What settings say of drawing; ``greedy`` takes the most likely tokens instead."""
    return Sampling(
        temperature=0.0 if greedy else settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        max_new_tokens=settings.max_new_tokens,
    )


def sample_seed(*parts: object) -> int:
    """A 63-bit seed that depends on every part and on nothing else."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generate(
    policy: Policy,
    prompts: Sequence[Prompt],
    seeds_PG: Sequence[Sequence[int]],
    sampling_P: Sequence[Sampling],
    *,
    batch_size: int | None = None,
) -> Iterator[tuple[int, RolloutGroup]]:
    """Sample completions; a group is handed over as soon as its last completion ends.

    Args:
        policy: the model that speaks.
        prompts: [P] prompts with tokens.
        seeds_PG: [P][G] one seed per completion to draw; G may differ from prompt to prompt.
        sampling_P: [P] temperature and limits of each prompt's completions.
        batch_size: most completions that are drawn at once, by default all; those of a prompt stay together.

    Yields:
        (index of the prompt, its group of G unscored completions), in order of completion.
    """
    sizes = [len(seeds) for seeds in seeds_PG]
    for members in batches(sizes, batch_size or sum(sizes)):
        chosen = slice(members.start, members.stop)
        rows = _Rows(policy, prompts[chosen], seeds_PG[chosen], sampling_P[chosen])
        open_groups = sizes[chosen]
        for finished in _computing(policy, rows.decode()):
            for b in finished:
                open_groups[rows.prompt[b]] -= 1
            for p in sorted({rows.prompt[b] for b in finished}):
                if open_groups[p] == 0:
                    completions = tuple(rows.completion(b) for b, owner in enumerate(rows.prompt) if owner == p)
                    yield members[p], RolloutGroup(prompt=rows.prompts[p], trajectories=completions)


def batches(sizes: Sequence[int], limit: int) -> list[range]:
    """Consecutive indices such that the sizes of each batch sum up to at most a limit, unless it is a single one."""
    found, start, total = [], 0, 0
    for p, size in enumerate(sizes):
        if p > start and total + size > limit:
            found.append(range(start, p))
            start, total = p, 0
        total += size
    return [*found, range(start, len(sizes))] if sizes else []


def _computing(policy: Policy, steps: Iterator[list[int]]) -> Iterator[list[int]]:
    """Make steps in the policy's number format, and leave it whenever one is handed over."""
    while True:
        with policy.computing():
            finished = next(steps, None)
        if finished is None:
            return
        yield finished


class _Rows:
    """The B = P x G rows that are drawn at once."""

    def __init__(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        seeds_PG: Sequence[Sequence[int]],
        sampling_P: Sequence[Sampling],
    ) -> None:
        self.policy, self.prompts = policy, prompts
        self.prompt = [p for p, seeds in enumerate(seeds_PG) for _ in seeds]
        self.seeds = [seed for seeds in seeds_PG for seed in seeds]
        self.sampling = [sampling_P[p] for p in self.prompt]
        self.limit_B = [sampling.max_new_tokens for sampling in self.sampling]
        self.shape = len(self.seeds), max(self.limit_B)
        self.ids_BT = torch.zeros(self.shape, dtype=torch.long, device=policy.device)
        self.logprob_BT = torch.zeros(self.shape, device=policy.device)
        self.entropy_BT = torch.zeros(self.shape, device=policy.device)
        self.length_B = list(self.limit_B)
        self.ended_B = [False] * len(self.seeds)

    def completion(self, b: int) -> Trajectory:
        """Row ``b`` as a record."""
        length = self.length_B[b]
        ids = tuple(self.ids_BT[b, :length].tolist())
        return Trajectory(
            text=self.policy.tokenizer.decode(ids),
            token_ids=ids,
            logprobs=tuple(self.logprob_BT[b, :length].tolist()),
            entropies=tuple(self.entropy_BT[b, :length].tolist()),
            truncated=not self.ended_B[b],
            seed=self.seeds[b],
        )

    @torch.inference_mode()
    def decode(self) -> Iterator[list[int]]:
        """Draw token after token; yields the rows that ended with each token."""
        policy, device = self.policy, self.policy.device
        uniforms_BT = self._uniforms().to(device)
        candidates = Candidates.of(self.sampling, device)
        limit_B = torch.tensor(self.limit_B, device=device)
        decoding = start(policy, self.prompts, torch.tensor(self.prompt, device=device), self.shape[1])
        rows = torch.arange(len(self.seeds), device=device)
        alive = torch.ones(len(rows), dtype=torch.bool, device=device)
        remaining = len(rows)
        ends = torch.tensor(policy.tokenizer.end_ids, device=device)
        for t in range(self.shape[1]):
            token_B, logprob_B, entropy_B = draw(decoding.logits_BV, uniforms_BT[rows, t], candidates)
            # Finished rows that are still in the batch write behind their ends, where nobody reads.
            self.ids_BT[rows, t], self.logprob_BT[rows, t], self.entropy_BT[rows, t] = token_B, logprob_B, entropy_B
            ended = torch.isin(token_B, ends)
            leaving = (ended | (limit_B == t + 1)) & alive
            finished: list[int] = []
            for b, end in torch.stack([rows, ended])[:, leaving].T.tolist():
                self.length_B[b], self.ended_B[b] = t + 1, bool(end)
                finished.append(b)
            if finished:
                yield finished
                remaining -= len(finished)
                alive = alive & ~leaving
            if remaining == 0:
                return
            going_on = decoding.rows_for(remaining)
            if going_on < len(rows):
                keep = alive.argsort(descending=True, stable=True)[:going_on]
                decoding.keep(keep)
                rows, token_B, alive, limit_B = rows[keep], token_B[keep], alive[keep], limit_B[keep]
                candidates = candidates.of_rows(keep)
            decoding.step(token_B)

    def _uniforms(self) -> Tensor:
        limit = max(self.limit_B)
        if all(sampling.temperature == 0 for sampling in self.sampling):
            return torch.zeros(len(self.seeds), limit, dtype=torch.float64)
        numbers = [np.random.Generator(np.random.Philox(key=seed)).random(limit) for seed in self.seeds]
        return torch.from_numpy(np.stack(numbers))


@dataclass(frozen=True, slots=True)
class Candidates:
    """Which tokens each row may draw, and at which temperature."""

    temperature_B: Tensor
    """[B] float64; 0 is greedy."""
    top_k_B: Tensor
    """[B]; 0 for all."""
    top_p_B: Tensor
    """[B] float64."""
    most: int
    """Largest number of candidates of any row; 0 for the whole vocabulary."""
    limited: bool
    """Whether any row may draw only its most likely tokens."""

    @classmethod
    def of(cls, sampling_B: Sequence[Sampling], device: torch.device) -> Candidates:
        """Settings of B rows as tensors."""
        top_k = [1 if sampling.temperature == 0 else sampling.top_k for sampling in sampling_B]
        return cls(
            torch.tensor([sampling.temperature for sampling in sampling_B], dtype=torch.float64, device=device),
            torch.tensor(top_k, device=device),
            torch.tensor([sampling.top_p for sampling in sampling_B], dtype=torch.float64, device=device),
            0 if 0 in top_k else max(top_k),
            any(top_k) or any(sampling.top_p < 1 for sampling in sampling_B),
        )

    def of_rows(self, rows: Tensor) -> Candidates:
        """Those of some rows."""
        chosen = (self.temperature_B[rows], self.top_k_B[rows], self.top_p_B[rows])
        return Candidates(*chosen, self.most, self.limited)


def draw(logits_BV: Tensor, uniform_B: Tensor, candidates: Candidates) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one token per row by inverting the distribution function at the row's uniform number.

    Candidates are the top-k tokens, then the smallest set of them with mass top-p.

    Args:
        logits_BV: [B, V].
        uniform_B: [B] numbers in [0, 1).
        candidates: temperature, top-k and top-p of each row.

    Returns:
        token [B], its log-probability [B] and the entropy [B] under the full distribution at the row's temperature
        (1 where it is 0), before top-k and top-p.
    """
    logits_BV = logits_BV.float()
    temperature_B1 = torch.where(candidates.temperature_B == 0, 1.0, candidates.temperature_B)[:, None]
    logprob_BV = (logits_BV / temperature_B1.float()).log_softmax(dim=1)
    # 0 log 0 = 0: a token whose probability underflows adds nothing to the entropy.
    logprob_BV.clamp_(min=torch.finfo(torch.float32).min)
    with torch.autocast(logits_BV.device.type, enabled=False):  # a sum, not one of the model's matrix products
        entropy_B = -torch.bmm(logprob_BV.exp()[:, None, :], logprob_BV[:, :, None]).flatten()
    if candidates.limited:
        candidate_BK, probability_BK = _most_likely(logits_BV, temperature_B1, candidates)
    else:  # the vocabulary as it lies: sorting a large one would take longer than the model does
        candidate_BK, probability_BK = None, (logits_BV.double() / temperature_B1).softmax(dim=1)
    cumulative_BK = probability_BK.cumsum(dim=1)
    threshold_B1 = uniform_B.double()[:, None] * cumulative_BK[:, -1:]
    choice_B1 = (cumulative_BK <= threshold_B1).sum(dim=1, keepdim=True)
    last_B1 = (cumulative_BK < cumulative_BK[:, -1:]).sum(dim=1, keepdim=True)  # should rounding reach beyond it
    token_B1 = torch.minimum(choice_B1, last_B1)
    token_B = (token_B1 if candidate_BK is None else candidate_BK.gather(1, token_B1)).squeeze(1)
    return token_B, logprob_BV.gather(1, token_B[:, None]).squeeze(1), entropy_B


def _most_likely(logits_BV: Tensor, temperature_B1: Tensor, candidates: Candidates) -> tuple[Tensor, Tensor]:
    """[B, K] candidates, the most likely first, and [B, K] their probabilities, 0 for those beyond a row's own.

    In float64 the cumulative sum is exact enough that rounding cannot lose or invent a candidate.
    """
    count = min(candidates.most or logits_BV.shape[1], logits_BV.shape[1])
    top_BK, candidate_BK = logits_BV.topk(count, dim=1)
    allowed_B1 = torch.where(candidates.top_k_B == 0, count, candidates.top_k_B)[:, None]
    top_BK = top_BK.double().masked_fill(torch.arange(count, device=top_BK.device) >= allowed_B1, -torch.inf)
    probability_BK = (top_BK / temperature_B1).softmax(dim=1)
    before_BK = probability_BK.cumsum(dim=1) - probability_BK
    return candidate_BK, torch.where(before_BK < candidates.top_p_B[:, None], probability_BK, 0.0)
