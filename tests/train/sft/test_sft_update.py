"""Loss and gradient of supervised fine-tuning: by hand, against a naive loop, and example by example."""

from __future__ import annotations

import math

import pytest
import torch

from omnithinker.config.warmup import WarmupSettings
from omnithinker.policy.attention import speed_up_decoding
from omnithinker.policy.packed import pack, packed_logprobs
from omnithinker.train.sft.update import (
    compute_gradient,
    learning_rate_at,
    measure_loss,
    microbatches,
    negative_log_likelihoods,
    union,
)
from tests.builders.policy import compute_in_float64, make_policy
from tests.builders.sft import TEXTS, examples_of

BUDGETS = {"one by one": 1, "some together": 90, "one pack": 10_000}


def naive(policy, examples):
    """Loss and gradients of one forward pass per example through the model's own logits, as one textbook formula."""
    total = sum(len(example.completion_ids) for example in examples)
    loss = torch.zeros((), dtype=policy.model.dtype)
    for example in examples:
        ids = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
        logits = policy.model(input_ids=ids).logits[0]
        start = len(example.prompt_ids)
        loss = loss + torch.nn.functional.cross_entropy(logits[start - 1 : -1], ids[0, start:], reduction="sum")
    (loss / total).backward()
    gradients = [parameter.grad.clone() for parameter in policy.trained]
    policy.model.zero_grad()
    return float(loss.detach() / total), gradients


@pytest.fixture(params=["transformers' mask", "example by example"])
def policy64(request, monkeypatch):
    compute_in_float64(monkeypatch)
    policy = make_policy(dtype=torch.float64)
    if request.param == "example by example":
        speed_up_decoding(policy.model)
    return policy


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_loss_and_gradient_equal_a_naive_loop(policy64, budget):
    examples = examples_of(policy64)
    expected_loss, expected = naive(policy64, examples)
    losses = compute_gradient(policy64, examples, budget)
    assert union(losses).mean == pytest.approx(expected_loss, rel=1e-12)
    for parameter, gradient in zip(policy64.trained, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)
    assert {task: (loss.examples, loss.tokens) for task, loss in losses.items()} == {
        "a": (3, 2 + 4 + 2),
        "b": (2, 49 + 45),
    }
    assert measure_loss(policy64, examples, budget)["a"].mean == pytest.approx(losses["a"].mean, rel=1e-12)


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_gradient_in_float32_equals_a_naive_loop(policy, budget):
    speed_up_decoding(policy.model)
    examples = examples_of(policy)
    _, expected = naive(policy, examples)
    compute_gradient(policy, examples, budget)
    for parameter, gradient in zip(policy.trained, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_the_loss_of_uniform_predictions_is_the_logarithm_of_the_vocabulary(policy):
    torch.nn.init.zeros_(policy.model.get_output_embeddings().weight)
    examples = examples_of(policy)
    for loss in measure_loss(policy, examples, 1000).values():
        assert loss.mean == pytest.approx(math.log(policy.model.config.vocab_size), rel=1e-5)


def test_packed_examples_do_not_see_each_other(policy64):
    examples = examples_of(policy64)
    before = negative_log_likelihoods(policy64, examples).detach()
    for changed in range(len(examples)):
        texts = [(t, "changed" if i == changed else p, c) for i, (t, p, c) in enumerate(TEXTS)]
        after = negative_log_likelihoods(policy64, examples_of(policy64, texts)).detach()
        equal = torch.isclose(before, after, rtol=1e-12, atol=0).tolist()
        assert equal == [i != changed for i in range(len(examples))]


def test_only_completion_tokens_are_learned(policy64):
    examples = examples_of(policy64)
    batch = pack([(e.prompt_ids, e.completion_ids) for e in examples], policy64.device)
    assert batch.lengths == tuple(len(e.completion_ids) for e in examples)
    learned = batch.ids_T[batch.predicted_N].tolist()
    assert learned == [token for e in examples for token in e.completion_ids]
    assert len(packed_logprobs(policy64, batch)) == len(learned)


def test_microbatches_hold_every_example_once_within_the_budget(policy):
    examples = examples_of(policy)
    sizes = sorted(example.size for example in examples)
    for budget in (1, sizes[-1], sum(sizes)):
        batches = microbatches(examples, budget)
        assert sorted(example.size for batch in batches for example in batch) == sizes
        assert all(len(batch) == 1 or sum(example.size for example in batch) <= budget for batch in batches)
    assert len(microbatches(examples, sum(sizes))) == 1
    assert len(microbatches(examples, sum(sizes), packs=False)) == len(examples)


def test_learning_rates_by_hand():
    def rates(**settings):
        chosen = WarmupSettings.model_validate({"learning_rate": 0.8} | settings)
        return [learning_rate_at(update, 6, chosen) for update in range(6)]

    assert rates(schedule="constant", warmup_ratio=0) == [0.8] * 6
    # ceil(0.25 * 6) = 2 updates of warm-up; then cos over the remaining 4: 1, 0.854, 0.5, 0.146
    half = math.sqrt(0.5)
    expected = [0.4, 0.8, 0.8, 0.4 * (1 + half), 0.4, 0.4 * (1 - half)]
    assert rates(warmup_ratio=0.25) == pytest.approx(expected)
    assert rates(schedule="constant", warmup_ratio=0.25) == pytest.approx([0.4] + [0.8] * 5)
