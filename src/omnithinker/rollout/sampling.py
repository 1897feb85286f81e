"""Sampling of one token per row: temperature, top-k, top-p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from omnithinker.rollout.base import Sampling

BLOCK = 256
"""Candidates whose probabilities are summed before their cumulative sum is looked at."""


@dataclass(frozen=True, slots=True)
class SamplingTensors:
    """Sampling parameters of B rows."""

    temperature_B: Tensor
    """[B] float64; 0 is greedy."""
    top_k_B: Tensor
    """[B]; 0 for the whole vocabulary."""
    top_p_B: Tensor
    """[B] float64."""
    max_top_k: int
    """Largest top-k of any row; 0 for the whole vocabulary."""
    restricted: bool
    """True if any row has top-k or top-p."""
    tempered: bool
    """True if any row that is not greedy has a temperature other than 1."""

    @classmethod
    def of(cls, sampling_B: Sequence[Sampling], device: torch.device) -> SamplingTensors:
        """Collect the parameters of B rows."""
        top_k = [1 if sampling.temperature == 0 else sampling.top_k for sampling in sampling_B]
        return cls(
            torch.tensor([sampling.temperature for sampling in sampling_B], dtype=torch.float64, device=device),
            torch.tensor(top_k, device=device),
            torch.tensor([sampling.top_p for sampling in sampling_B], dtype=torch.float64, device=device),
            0 if 0 in top_k else max(top_k),
            any(top_k) or any(sampling.top_p < 1 for sampling in sampling_B),
            any(sampling.temperature not in (0, 1) for sampling in sampling_B),
        )

    def select(self, rows: Tensor) -> SamplingTensors:
        """Return the parameters of some rows."""
        selected = (self.temperature_B[rows], self.top_k_B[rows], self.top_p_B[rows])
        return SamplingTensors(*selected, self.max_top_k, self.restricted, self.tempered)


def sample_tokens(logits_BV: Tensor, uniform_B: Tensor, sampling: SamplingTensors) -> tuple[Tensor, Tensor, Tensor]:
    """Sample one token per row by inverting the cumulative distribution at the row's uniform number.

    Candidates are the top-k tokens, then the smallest set of them with mass top-p.

    Args:
        logits_BV: [B, V].
        uniform_B: [B] numbers in [0, 1).
        sampling: temperature, top-k and top-p of each row.

    Returns:
        token [B], its log-probability [B] and the entropy [B] of the full distribution at the row's temperature
        (1 if it is 0), before top-k and top-p.
    """
    logits_BV = logits_BV.float()
    temperature_B1 = torch.where(sampling.temperature_B == 0, 1.0, sampling.temperature_B)[:, None]
    scaled_BV = logits_BV / temperature_B1.float() if sampling.tempered else logits_BV
    logprob_BV = scaled_BV.log_softmax(dim=1)
    # 0 log 0 = 0: a token whose probability underflows adds nothing to the entropy.
    logprob_BV.clamp_(min=torch.finfo(torch.float32).min)
    probability_BV = logprob_BV.exp()
    if sampling.restricted:
        candidate_BK, probability_BK = _candidates(logits_BV, temperature_B1, sampling)
    else:  # unsorted: sorting a large vocabulary would take longer than the model does
        candidate_BK, probability_BK = None, probability_BV
    token_B1 = _choose(probability_BK, uniform_B)
    token_B = (token_B1 if candidate_BK is None else candidate_BK.gather(1, token_B1)).squeeze(1)
    logprob_B = logprob_BV.gather(1, token_B[:, None]).squeeze(1)
    return token_B, logprob_B, -logprob_BV.mul_(probability_BV).sum(dim=1)


def _choose(probability_BK: Tensor, uniform_B: Tensor) -> Tensor:
    """[B, 1] index at which the cumulative sum of probabilities exceeds a uniform share of their total.

    Finds a block of candidates first, so that only sums of blocks and one block per row are accumulated in float64.
    Sums within blocks keep the format of the probabilities: a float64 copy of them would cost more than the rest.
    """
    count = probability_BK.shape[1]
    if spare := -count % BLOCK:
        probability_BK = pad(probability_BK, (0, spare))
    block_BNS = probability_BK.unflatten(1, (-1, BLOCK))
    mass_BN = block_BNS.sum(dim=2).double()
    block_B1, rest_B1 = _find(mass_BN, uniform_B.double()[:, None] * mass_BN.sum(dim=1, keepdim=True))
    mass_BS = block_BNS.take_along_dim(block_B1[:, :, None], dim=1).squeeze(1).double()
    return block_B1 * BLOCK + _find(mass_BS, rest_B1)[0]


def _find(mass_BK: Tensor, threshold_B1: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 1] first index whose cumulative mass exceeds a threshold, never one without mass, and the rest within it."""
    cumulative_BK = mass_BK.cumsum(dim=1)
    choice_B1 = (cumulative_BK <= threshold_B1).sum(dim=1, keepdim=True)
    last_B1 = (cumulative_BK < cumulative_BK[:, -1:]).sum(dim=1, keepdim=True)  # guards against rounding beyond it
    index_B1 = torch.minimum(choice_B1, last_B1)
    before_B1 = cumulative_BK.gather(1, index_B1) - mass_BK.gather(1, index_B1)
    return index_B1, (threshold_B1 - before_B1).clamp(min=0)


def _candidates(logits_BV: Tensor, temperature_B1: Tensor, sampling: SamplingTensors) -> tuple[Tensor, Tensor]:
    """[B, K] candidates, most likely first, and [B, K] their probabilities, 0 beyond a row's own top-k and top-p.

    In float64 the cumulative sum is exact enough that rounding neither loses nor adds a candidate.
    """
    count = min(sampling.max_top_k or logits_BV.shape[1], logits_BV.shape[1])
    top_BK, candidate_BK = logits_BV.topk(count, dim=1)
    allowed_B1 = torch.where(sampling.top_k_B == 0, count, sampling.top_k_B)[:, None]
    top_BK = top_BK.double().masked_fill(torch.arange(count, device=top_BK.device) >= allowed_B1, -torch.inf)
    probability_BK = (top_BK / temperature_B1).softmax(dim=1)
    before_BK = probability_BK.cumsum(dim=1) - probability_BK
    return candidate_BK, torch.where(before_BK < sampling.top_p_B[:, None], probability_BK, 0.0)
