"""Eq. 4-5 against an independent reference: plain Python loops over tokens."""

from __future__ import annotations

import math

import pytest
import torch

from omnithinker.train.losses import group_weights, grpo_loss, importance_weights, kl_to_reference

LENGTHS = [3, 5, 1, 4, 2]
PROMPTS = [0, 0, 0, 1, 1]
WEIGHTS = [1 / 6, 1 / 6, 1 / 6, 1 / 4, 1 / 4]  # of prompts and of their completions the mean


def tensors(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)

    def noise(scale: float) -> torch.Tensor:
        return torch.randn(5, 5, generator=generator, dtype=torch.float64) * scale

    logprob = -noise(1.0).abs()
    mask = torch.arange(5)[None] < torch.tensor(LENGTHS)[:, None]
    old, ref = logprob + noise(0.3), logprob + noise(0.2)
    advantage = torch.tensor([1.0, -0.5, -0.5, 0.7, -0.7], dtype=torch.float64)
    beta = torch.tensor([0.1, 0.1, 0.1, 0.0, 0.0], dtype=torch.float64)
    return logprob, mask, old, ref, advantage, beta


def clips(rows: int, low: float = 0.2, high: float = 0.2) -> dict[str, torch.Tensor]:
    return {
        "clip_low_B": torch.full((rows,), low, dtype=torch.float64),
        "clip_high_B": torch.full((rows,), high, dtype=torch.float64),
    }


def reference(logprob, old, ref, advantage, beta, low, high, kl) -> float:
    """Eq. 4 with loops: mean over prompts of mean over completions of the mean over tokens."""
    total = 0.0
    for prompt in (0, 1):
        members = [b for b in range(5) if PROMPTS[b] == prompt]
        inner = 0.0
        for b in members:
            tokens = 0.0
            for t in range(LENGTHS[b]):
                lp, lo, lr, a = (float(x) for x in (logprob[b, t], old[b, t], ref[b, t], advantage[b]))
                rho = math.exp(lp - lo)
                clipped = min(max(rho, 1 - low), 1 + high)
                d = lr - lp
                estimate = {"k1": -d, "k2": d * d / 2, "k3": math.exp(d) - d - 1}[kl]
                tokens += min(rho * a, clipped * a) - float(beta[b]) * estimate
            inner += tokens / LENGTHS[b]
        total += inner / len(members)
    return -total / 2


@pytest.mark.parametrize("kl", ["k1", "k2", "k3"])
@pytest.mark.parametrize(("low", "high"), [(0.2, 0.2), (0.1, 0.28)])
def test_equals_the_loop_reference(kl, low, high):
    logprob, mask, old, ref, advantage, beta = tensors()
    parts = grpo_loss(
        logprob,
        mask,
        old_logprob_BT=old,
        ref_logprob_BT=ref,
        advantage_B=advantage,
        weight_B=torch.tensor(WEIGHTS, dtype=torch.float64),
        beta_B=beta,
        **clips(5, low, high),
        kl=kl,
    )
    assert float(parts.loss) == pytest.approx(reference(logprob, old, ref, advantage, beta, low, high, kl), abs=1e-12)


def test_gradient_by_finite_differences():
    logprob, mask, old, ref, advantage, beta = tensors(1)

    def loss(x):
        return grpo_loss(
            x,
            mask,
            old_logprob_BT=old,
            ref_logprob_BT=ref,
            advantage_B=advantage,
            weight_B=torch.full((5,), 0.2, dtype=torch.float64),
            beta_B=beta,
            **clips(5),
        ).loss

    assert torch.autograd.gradcheck(loss, logprob.requires_grad_(True), eps=1e-7, atol=1e-6)


def test_on_policy_gradient_is_minus_advantage_over_length():
    logprob, mask, *_ = tensors()
    logprob.requires_grad_(True)
    advantage = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
    weight = torch.tensor([0.1, 0.2, 0.3, 0.2, 0.2], dtype=torch.float64)
    parts = grpo_loss(
        logprob,
        mask,
        old_logprob_BT=None,
        ref_logprob_BT=None,
        advantage_B=advantage,
        weight_B=weight,
        beta_B=torch.zeros(5, dtype=torch.float64),
        **clips(5),
    )
    parts.loss.backward()
    for b in range(5):
        for t in range(5):
            expected = -float(weight[b] * advantage[b]) / LENGTHS[b] if t < LENGTHS[b] else 0.0
            assert float(logprob.grad[b, t]) == pytest.approx(expected, abs=1e-12)
    assert float(parts.loss.detach()) == pytest.approx(-float((weight * advantage).sum()), abs=1e-12)


def test_clip_share_counts_only_where_the_clip_is_active():
    mask = torch.ones(2, 2, dtype=torch.bool)
    logprob = torch.log(torch.tensor([[1.5, 1.0], [1.5, 0.5]]))
    parts = grpo_loss(
        logprob,
        mask,
        old_logprob_BT=torch.zeros(2, 2),
        ref_logprob_BT=None,
        advantage_B=torch.tensor([1.0, -1.0]),
        weight_B=torch.ones(2) / 2,
        beta_B=torch.zeros(2),
        **clips(2),
    )
    # A > 0 clips only above 1.2 (one of two tokens); A < 0 only below 0.8 (the other row's second token).
    assert parts.clip_frac_B.tolist() == [0.5, 0.5]


def test_kl_estimators_by_hand():
    policy, ref = torch.tensor([math.log(0.5)]), torch.tensor([math.log(0.25)])
    d = math.log(0.5)
    assert float(kl_to_reference(policy, ref, "k1")) == pytest.approx(-d)
    assert float(kl_to_reference(policy, ref, "k2")) == pytest.approx(d * d / 2)
    assert float(kl_to_reference(policy, ref, "k3")) == pytest.approx(0.5 - d - 1)


def weights_of(*groups, **settings):
    """The weights of a minibatch of groups, each given by its completions' lengths (and its limit)."""
    found = [group_weights(torch.tensor(lengths), max_tokens=limit, **settings) for lengths, limit in groups]
    total = sum(share for _, share in found)
    return [weight / total for weight_B, _ in found for weight in weight_B.tolist()]


def test_group_weights_of_each_loss_norm():
    groups = [([2, 6], 10), ([2], 10), ([], 10)]
    assert weights_of(*groups) == pytest.approx([0.25, 0.25, 0.5])
    assert weights_of(*groups, loss_norm="token") == pytest.approx([0.2, 0.6, 0.2])
    assert weights_of(*groups, loss_norm="max_tokens") == pytest.approx([2 / 30, 6 / 30, 2 / 30])
    assert weights_of(([2, 6], 10), ([2], 4), loss_norm="max_tokens") == pytest.approx([2 / 30, 6 / 30, 2 / 12])
    with pytest.raises(ValueError, match="max_tokens"):
        group_weights(torch.tensor([2]), loss_norm="max_tokens")


@pytest.mark.parametrize(
    ("level", "mode", "expected"),
    [
        ("token", "truncate", [[2.0, 0.5, 3.0], [1.5, 1.0, 1.0]]),
        ("token", "mask", [[2.0, 0.5, 0.0], [1.5, 1.0, 1.0]]),
        ("sequence", "truncate", [[3.0, 3.0, 3.0], [1.5, 1.5, 1.5]]),
        ("sequence", "mask", [[0.0, 0.0, 0.0], [1.5, 1.5, 1.5]]),
    ],
)
def test_importance_weights_by_hand(level, mode, expected):
    old = torch.log(torch.tensor([[0.8, 0.1, 0.9], [0.3, 0.7, 0.7]], dtype=torch.float64))
    drawn = torch.log(torch.tensor([[0.4, 0.2, 0.1], [0.2, 0.7, 0.1]], dtype=torch.float64))
    mask = torch.tensor([[True, True, True], [True, True, False]])
    weights = importance_weights(old, drawn, mask, level=level, cap=3.0, mode=mode)
    assert torch.allclose(weights, torch.tensor(expected, dtype=torch.float64))


def test_importance_weighs_the_policy_term_and_not_the_kl_term():
    logprob, mask, old, ref, advantage, beta = tensors()
    common = {
        "old_logprob_BT": old,
        "ref_logprob_BT": ref,
        "weight_B": torch.full((5,), 0.2, dtype=torch.float64),
        "beta_B": beta,
        **clips(5),
    }
    half = torch.full_like(logprob, 0.5)
    weighted = grpo_loss(logprob, mask, advantage_B=advantage, importance_BT=half, **common)
    by_hand = grpo_loss(logprob, mask, advantage_B=advantage / 2, **common)
    assert float(weighted.loss) == pytest.approx(float(by_hand.loss), abs=1e-12)
