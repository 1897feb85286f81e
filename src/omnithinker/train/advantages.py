"""Group advantages, Eq. 2-3: pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-6
"""Added to the standard deviation in Eq. 3: the paper has none, verl uses this value."""


def group_advantages(rewards_PG: Tensor, *, scale: bool = True) -> Tensor:
    """Eq. 2-3 over the *defined* completions of each group.

    ``A = (R - mean) / (std + 1e-6)`` with the n-1 convention for std (TRL and verl; the paper does not say).
    A group whose defined rewards are all equal has advantage 0.

    Args:
        rewards_PG: [P, G] rewards; NaN where a completion is undefined.
        scale: divide by the standard deviation; Dr. GRPO (arXiv 2503.20783) does not.

    Returns:
        [P, G] advantages; NaN for undefined completions, and for the whole group when fewer than 2 are defined
        (such a group leaves the step).
    """
    defined_PG = ~rewards_PG.isnan()
    count_P = defined_PG.sum(dim=1, keepdim=True)
    filled_PG = torch.where(defined_PG, rewards_PG, 0.0)
    mean_P = filled_PG.sum(dim=1, keepdim=True) / count_P.clamp(min=1)
    centred_PG = torch.where(defined_PG, rewards_PG - mean_P, 0.0)
    # Equal rewards differ from their mean by rounding, and division by a tiny deviation would amplify that.
    spread_P = rewards_PG.nan_to_num(-torch.inf).amax(1, keepdim=True) - rewards_PG.nan_to_num(torch.inf).amin(
        1, keepdim=True
    )
    centred_PG = torch.where(spread_P <= 0, 0.0, centred_PG)
    advantages_PG = centred_PG
    if scale:
        std_P = (centred_PG.square().sum(dim=1, keepdim=True) / (count_P - 1).clamp(min=1)).sqrt()
        advantages_PG = centred_PG / (std_P + EPSILON)
    return torch.where(defined_PG & (count_P >= 2), advantages_PG, torch.nan)
