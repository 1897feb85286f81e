"""Eq. 2-3 by hand, and what undefined completions do."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omnithinker.train.advantages import group_advantages

NAN = math.nan


def test_by_hand_with_sample_standard_deviation():
    # mean 1/2, std with n-1 = sqrt(1/3)
    advantages = group_advantages(torch.tensor([[1.0, 0.0, 1.0, 0.0]], dtype=torch.float64))
    expected = 0.5 / (math.sqrt(1 / 3) + 1e-6)
    assert advantages.tolist() == [pytest.approx([expected, -expected, expected, -expected], abs=1e-12)]


def test_undefined_completion_leaves_mean_and_std():
    # Rewards [1, 0, 0, undefined]: mean 1/3 over the defined ones, not 1/4.
    unscaled = group_advantages(torch.tensor([[1.0, 0.0, 0.0, NAN]], dtype=torch.float64), scale=False)
    assert unscaled[0, :3].tolist() == pytest.approx([2 / 3, -1 / 3, -1 / 3], abs=1e-12)
    assert unscaled[0, 3].isnan()
    scaled = group_advantages(torch.tensor([[1.0, 0.0, 0.0, NAN]], dtype=torch.float64))
    std = math.sqrt(((2 / 3) ** 2 + 2 * (1 / 3) ** 2) / 2)
    assert scaled[0, :3].tolist() == pytest.approx([2 / 3 / (std + 1e-6), *[-1 / 3 / (std + 1e-6)] * 2], abs=1e-12)


def test_equal_rewards_have_advantage_zero():
    # 0.1 has no exact binary form: a naive mean would leave rounding noise that the small std blows up.
    assert group_advantages(torch.full((1, 7), 0.1, dtype=torch.float64)).tolist() == [[0.0] * 7]


def test_fewer_than_two_defined_leaves_the_step():
    advantages = group_advantages(torch.tensor([[1.0, NAN, NAN], [NAN] * 3, [1.0, 0.0, NAN]]))
    assert advantages[0].isnan().all()
    assert advantages[1].isnan().all()
    assert not advantages[2, :2].isnan().any()


@given(st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=2, max_size=8), st.integers(0, 3))
def test_undefined_entries_change_nothing_for_the_others(rewards, undefined):
    alone = group_advantages(torch.tensor([rewards], dtype=torch.float64))
    mixed = group_advantages(torch.tensor([rewards + [NAN] * undefined], dtype=torch.float64))
    assert torch.allclose(alone[0], mixed[0, : len(rewards)], atol=1e-9)
    assert abs(float(alone.sum())) < 1e-6
