"""The GRPO loss, Eq. 4-5: pure functions of tensors.

B samples of T tokens after the prompt, padded on the right, of which only actions count; the paper maximizes the
objective J, the loss is -J.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

KlEstimator = Literal["k1", "k2", "k3"]
LossNorm = Literal["sequence", "token", "max_tokens"]


class LossParts(NamedTuple):
    """Loss of some samples, and its parts per sample."""

    loss: Tensor
    """Scalar to differentiate: weighted sum over the samples."""
    kl_B: Tensor
    """[B] mean over actions of the KL estimate (nats); 0 without a reference policy."""
    clip_frac_B: Tensor
    """[B] fraction of actions at which the clip of Eq. 4 is active."""


def kl_to_reference(logprob_BT: Tensor, ref_logprob_BT: Tensor, estimator: KlEstimator = "k3") -> Tensor:
    """Per-token estimate of KL(policy || reference); k3 is Eq. 5.

    Names follow Schulman's note "Approximating KL divergence": with ``d = log ref - log policy``,
    k1 = -d, k2 = d^2 / 2, k3 = exp(d) - d - 1.

    Args:
        logprob_BT: [B, T] log-probabilities under the policy (nats).
        ref_logprob_BT: [B, T] under the reference policy.
        estimator: k1, k2 or k3.
    """
    delta_BT = ref_logprob_BT - logprob_BT
    if estimator == "k1":
        return -delta_BT
    if estimator == "k2":
        return delta_BT.square() / 2
    return delta_BT.exp() - delta_BT - 1


def group_weights(
    length_B: Tensor, *, loss_norm: LossNorm = "sequence", max_tokens: int | None = None
) -> tuple[Tensor, float]:
    """Weights of the completions of one prompt in the loss of their minibatch, before division by its total.

    The loss of a minibatch is the sum over its samples of weight x *mean over actions*, divided by the sum of the
    totals of its groups. ``sequence`` (the paper): mean over prompts of the mean over their completions. ``token``
    (DAPO): every action of the minibatch counts the same. ``max_tokens`` (Dr. GRPO): sum over actions divided by the
    token limit.

    Args:
        length_B: [B] actions of the prompt's completions that have an advantage, including those without a gradient,
            so that the total does not depend on which are skipped.
        loss_norm: see above.
        max_tokens: completion limit of the prompt, for ``max_tokens``.

    Returns:
        [B] float64 weights, and the group's total; 0 without samples.

    Raises:
        ValueError: if ``loss_norm`` is ``max_tokens`` and ``max_tokens`` is None.
    """
    count = len(length_B)
    if loss_norm == "sequence":
        return torch.full((count,), 1.0 / max(count, 1), dtype=torch.float64), float(count > 0)
    if loss_norm == "token":
        return length_B.double(), float(length_B.sum())
    if max_tokens is None:
        raise ValueError("loss_norm = 'max_tokens' needs max_tokens")
    return length_B.double() / max_tokens, float(count)


def importance_weights(
    old_logprob_BT: Tensor,
    rollout_logprob_BT: Tensor,
    action_mask_BT: Tensor,
    *,
    level: Literal["token", "sequence"],
    cap: float,
    mode: Literal["truncate", "mask"],
) -> Tensor:
    """Importance sampling ratio of the trainer's probabilities over the generator's, per action or per completion.

    Corrects a policy gradient whose samples come from a generator with other numerics (Yao et al., "Your Efficient
    RL Framework Secretly Brings You Off-Policy RL Training", 2025). No gradient flows through it.

    Args:
        old_logprob_BT: [B, T] log-probabilities of the sampling policy, computed by the trainer.
        rollout_logprob_BT: [B, T] log-probabilities recorded by the generator.
        action_mask_BT: [B, T] True at actions.
        level: a ratio per action (``token``), or per completion the product over its actions (``sequence``).
        cap: largest accepted ratio.
        mode: larger ratios count as ``cap`` (``truncate``) or 0 (``mask``).

    Returns:
        [B, T]; 1 where there is no action, for ``token``.
    """
    delta_BT = torch.where(action_mask_BT, old_logprob_BT.detach() - rollout_logprob_BT, 0.0)
    if level == "sequence":
        delta_BT = delta_BT.sum(dim=1, keepdim=True).expand_as(delta_BT)
    ratio_BT = delta_BT.exp()
    return ratio_BT.clamp(max=cap) if mode == "truncate" else torch.where(ratio_BT > cap, 0.0, ratio_BT)


def grpo_loss(
    logprob_BT: Tensor,
    action_mask_BT: Tensor,
    *,
    old_logprob_BT: Tensor | None,
    ref_logprob_BT: Tensor | None,
    advantage_B: Tensor,
    weight_B: Tensor,
    beta_B: Tensor,
    clip_low_B: Tensor,
    clip_high_B: Tensor,
    kl: KlEstimator = "k3",
    importance_BT: Tensor | None = None,
) -> LossParts:
    """Eq. 4 as a loss: ``sum_B weight (1/|o|) sum_t [-w_t min(rho A, clip(rho) A) + beta KL_t]``.

    Args:
        logprob_BT: [B, T] log-probabilities of the actions under the policy in training.
        action_mask_BT: [B, T] True at actions; nothing else contributes.
        old_logprob_BT: [B, T] under the sampling policy; None if it is the policy itself, then rho = 1 with the
            gradient of log pi.
        ref_logprob_BT: [B, T] under the reference policy; may be None if every beta is 0.
        advantage_B: [B] from Eq. 3.
        weight_B: [B] from :func:`group_weights`.
        beta_B: [B] KL coefficient of each sample's task.
        clip_low_B: [B] epsilon below 1 of each sample's task.
        clip_high_B: [B] epsilon above 1.
        kl: KL estimator.
        importance_BT: [B, T] w_t, from :func:`importance_weights`; None for 1.
    """
    old_BT = logprob_BT.detach() if old_logprob_BT is None else old_logprob_BT
    ratio_BT = torch.where(action_mask_BT, logprob_BT - old_BT, 0.0).exp()
    clipped_BT = ratio_BT.clamp(1 - clip_low_B[:, None], 1 + clip_high_B[:, None])
    advantage_B1 = advantage_B[:, None]
    surrogate_BT = torch.minimum(ratio_BT * advantage_B1, clipped_BT * advantage_B1)
    token_loss_BT = -surrogate_BT if importance_BT is None else -importance_BT * surrogate_BT
    length_B = action_mask_BT.sum(dim=1).clamp(min=1)
    kl_BT = torch.zeros_like(logprob_BT)
    if ref_logprob_BT is not None:
        kl_BT = torch.where(action_mask_BT, kl_to_reference(logprob_BT, ref_logprob_BT, kl), 0.0)
        token_loss_BT = token_loss_BT + beta_B[:, None] * kl_BT
    sample_loss_B = torch.where(action_mask_BT, token_loss_BT, 0.0).sum(dim=1) / length_B
    with torch.no_grad():
        outside_BT = action_mask_BT & (surrogate_BT < ratio_BT * advantage_B1)
        clip_frac_B = outside_BT.sum(dim=1) / length_B
        kl_B = kl_BT.sum(dim=1) / length_B
    return LossParts(loss=(weight_B * sample_loss_B).sum(), kl_B=kl_B, clip_frac_B=clip_frac_B)
