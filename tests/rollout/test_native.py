"""The native generator: exact distribution, recorded numbers, independence of the batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from omnithinker.policy.base import Policy
from omnithinker.policy.logprobs import completion_logprobs, compute_prefix, token_batch
from omnithinker.rollout.base import Sampling, sample_seed
from omnithinker.rollout.native import split_batches
from omnithinker.rollout.sampling import SamplingTensors, _choose, sample_tokens
from tests.builders.policy import generate, make_policy, prompt_of

SAMPLING = Sampling(temperature=1.0, top_k=50, top_p=1.0, max_new_tokens=12)


def sample(policy: Policy, texts: list[str], count: int, sampling: Sampling = SAMPLING):
    prompts = [prompt_of(policy, text, index=i) for i, text in enumerate(texts)]
    seeds = [[sample_seed(7, text, g) for g in range(count)] for text in texts]
    found = dict(generate(policy, prompts, seeds, [sampling] * len(prompts)))
    return [found[p] for p in range(len(prompts))]


@pytest.mark.parametrize("limit", [12, 150])  # the second outgrows the cache's first buffers twice
def test_recorded_logprobs_are_those_of_the_trainer(policy, limit):
    groups = sample(policy, ["ab", "a much longer prompt"], 4, dataclasses.replace(SAMPLING, max_new_tokens=limit))
    assert max(len(c.token_ids) for group in groups for c in group.trajectories) == limit
    rows = [(p, c) for p, group in enumerate(groups) for c in group.trajectories]
    batch = token_batch([group.prompt for group in groups], rows, policy.device)
    trained = completion_logprobs(policy, batch)
    recorded = torch.zeros_like(trained).masked_scatter(
        batch.action_mask_BT, torch.tensor([x for _, c in rows for x in c.logprobs])
    )
    assert torch.allclose(trained, recorded, atol=2e-5)


def test_shared_prompt_equals_repeated_prompt_with_gradients(policy):
    groups = sample(policy, ["x", "some other prompt"], 3)
    rows = [(p, c) for p, group in enumerate(groups) for c in group.trajectories]
    batch = token_batch([group.prompt for group in groups], rows, policy.device)
    gradients = []
    for shared in (True, False):
        policy.model.zero_grad()
        logprob_BT = completion_logprobs(policy, batch, shared_prompt=shared)
        (logprob_BT * torch.arange(logprob_BT.numel()).view_as(logprob_BT).sin()).sum().backward()
        gradients.append([p.grad.clone() for p in policy.model.parameters()])
    for one, two in zip(*gradients, strict=True):
        assert torch.allclose(one, two, atol=1e-4)


def test_prompts_computed_once_for_several_batches_give_the_same_gradients(policy):
    groups = sample(policy, ["x", "some other prompt"], 3)
    rows = [(p, c) for p, group in enumerate(groups) for c in group.trajectories]
    prompts = [group.prompt for group in groups]
    gradients = []
    for size in (len(rows), 2):
        policy.model.zero_grad()
        computed = compute_prefix(policy, token_batch(prompts, rows, policy.device)) if size == 2 else None
        for start in range(0, len(rows), size):
            batch = token_batch(prompts, rows[start : start + size], policy.device)
            completion_logprobs(policy, batch, computed).square().sum().backward()
        if computed is not None:
            computed.backward()
        gradients.append([p.grad.clone() for p in policy.model.parameters()])
    for one, two in zip(*gradients, strict=True):
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-3)


def test_a_sample_does_not_depend_on_its_batch(policy):
    together = sample(policy, ["ab", "a much longer prompt", "third"], 3)
    alone = sample(policy, ["a much longer prompt"], 3)[0]
    assert [c.token_ids for c in together[1].trajectories] == [c.token_ids for c in alone.trajectories]


def test_greedy_equals_transformers(policy):
    group = sample(policy, ["hello"], 1, Sampling(temperature=0, max_new_tokens=8))[0]
    ids = torch.tensor([policy.tokenizer.encode("hello")])
    expected = policy.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)[
        0, ids.shape[1] :
    ]
    assert list(group.trajectories[0].token_ids) == expected.tolist()


def test_end_token_finishes_a_row_and_is_kept():
    policy = make_policy()
    end = policy.tokenizer.end_ids[0]
    groups = sample(policy, ["q"], 64, dataclasses.replace(SAMPLING, top_k=0, max_new_tokens=200))
    finished = [c for c in groups[0].trajectories if not c.truncated]
    assert finished, "some of 64 x 200 tokens should be the end token"
    for completion in groups[0].trajectories:
        assert (completion.token_ids[-1] == end) == (not completion.truncated)
        assert end not in completion.token_ids[:-1]
        assert "<|im_end|>" not in completion.text
        assert len(completion.logprobs) == len(completion.entropies) == len(completion.token_ids)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1.0, 0, 1.0), (0.7, 5, 1.0), (1.3, 0, 0.8), (0.9, 6, 0.7)]
)
def test_draws_follow_the_exact_distribution(temperature, top_k, top_p):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(12, generator=generator).double() * 2
    order = torch.argsort(logits, descending=True)
    probability = torch.softmax(logits / temperature, 0)
    kept = order[:top_k] if top_k else order
    renormalised = probability[kept] / probability[kept].sum()
    nucleus = kept[(renormalised.cumsum(0) - renormalised) < top_p]
    expected = torch.zeros(12).double()
    expected[nucleus] = probability[nucleus] / probability[nucleus].sum()

    n = 20_000
    uniform = torch.from_numpy(np.random.default_rng(5).random(n))
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, max_new_tokens=1)
    token, logprob, entropy = sample_tokens(
        logits.float().expand(n, -1), uniform, SamplingTensors.of([sampling] * n, torch.device("cpu"))
    )
    observed = torch.bincount(token, minlength=12)
    assert observed[expected == 0].sum() == 0
    support = expected > 0
    if support.sum() > 1:
        result = stats.chisquare(observed[support].numpy(), (expected[support] * n).numpy())
        assert result.pvalue > 1e-3
    full = torch.log_softmax(logits / temperature, 0)
    assert torch.allclose(logprob.double(), full[token], atol=1e-5)
    assert torch.allclose(entropy.double(), -(full.exp() * full).sum().expand(n), atol=1e-5)


@pytest.mark.parametrize("top_k", [0, 50])
def test_the_largest_uniform_number_samples_a_candidate(top_k):
    logits = torch.tensor([[-torch.inf, 2.0, 1.0, -torch.inf, -1e4]])
    candidates = SamplingTensors.of([Sampling(temperature=1.0, top_k=top_k, max_new_tokens=1)], torch.device("cpu"))
    token, _, _ = sample_tokens(logits, torch.tensor([np.nextafter(1.0, 0.0)], dtype=torch.float64), candidates)
    assert token.item() == 2
    token, _, _ = sample_tokens(logits, torch.zeros(1, dtype=torch.float64), candidates)
    assert token.item() == 1


def test_rows_with_other_settings_side_by_side_equal_themselves_alone(policy):
    samplings = [
        Sampling(temperature=0.6, top_k=3, max_new_tokens=5),
        Sampling(temperature=1.4, top_p=0.7, max_new_tokens=9),
        Sampling(temperature=0, max_new_tokens=7),
    ]
    counts = [2, 4, 1]
    prompts = [prompt_of(policy, text, index=i) for i, text in enumerate(["ab", "a longer prompt", "third"])]
    seeds = [[sample_seed(7, p, g) for g in range(count)] for p, count in enumerate(counts)]
    together = dict(generate(policy, prompts, seeds, samplings))
    for p, sampling in enumerate(samplings):
        alone = dict(generate(policy, [prompts[p]], [seeds[p]], [sampling]))[0]
        assert len(together[p].trajectories) == counts[p]
        for one, two in zip(together[p].trajectories, alone.trajectories, strict=True):
            assert one.token_ids == two.token_ids
            assert one.logprobs == pytest.approx(two.logprobs, abs=1e-5)
            assert len(one.token_ids) <= sampling.max_new_tokens
            assert one.truncated == (one.token_ids[-1] not in policy.tokenizer.end_ids)


@pytest.mark.parametrize("batch_size", [1, 4, 5, 100])
def test_samples_do_not_depend_on_the_batch_size(policy, batch_size):
    texts = ["ab", "a longer prompt", "third", "4"]
    prompts = [prompt_of(policy, text, index=i) for i, text in enumerate(texts)]
    seeds = [[sample_seed(7, text, g) for g in range(2)] for text in texts]
    together = dict(generate(policy, prompts, seeds, [SAMPLING] * 4))
    found = list(generate(policy, prompts, seeds, [SAMPLING] * 4, batch_size=batch_size))
    for p, group in found:
        assert group.prompt is prompts[p]
        for one, two in zip(group.trajectories, together[p].trajectories, strict=True):
            assert one.token_ids == two.token_ids
            assert one.logprobs == pytest.approx(two.logprobs, abs=1e-5)
    at_once = max(1, batch_size // 2)
    assert [p // at_once for p, _ in found] == sorted(p // at_once for p in range(4))


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 20))
def test_batches_cover_everything_in_order_and_are_as_large_as_may_be(sizes, limit):
    found = split_batches(sizes, limit)
    assert [p for members in found for p in members] == list(range(len(sizes)))
    for members in found:
        total = sum(sizes[p] for p in members)
        assert len(members) == 1 or total <= limit
        assert members.stop == len(sizes) or total + sizes[members.stop] > limit


def test_a_greedy_row_beside_sampled_ones_takes_the_most_likely_token():
    logits = torch.tensor([[0.0, 1.0, 3.0], [0.0, 1.0, 3.0]])
    settings = [Sampling(temperature=0, max_new_tokens=1), Sampling(temperature=1.0, max_new_tokens=1)]
    candidates = SamplingTensors.of(settings, torch.device("cpu"))
    token, logprob, _ = sample_tokens(logits, torch.tensor([0.99999, 0.99999]), candidates)
    assert token.tolist() == [2, 0]  # candidates are ordered from the most likely one; 0.99999 is the last
    assert logprob.tolist() == pytest.approx(torch.log_softmax(logits[0], 0)[[2, 0]].tolist())


def test_any_of_several_end_tokens_ends_a_completion():
    policy = make_policy()
    common = sample(policy, ["q"], 1)[0].trajectories[0].token_ids[2]
    ends_of_two = (policy.tokenizer.end_ids[0], common)
    policy = dataclasses.replace(policy, tokenizer=dataclasses.replace(policy.tokenizer, end_ids=ends_of_two))
    for completion in sample(policy, ["q"], 32, dataclasses.replace(SAMPLING, max_new_tokens=40))[0].trajectories:
        ends = [t for t, token in enumerate(completion.token_ids) if token in ends_of_two]
        assert ends == ([] if completion.truncated else [len(completion.token_ids) - 1])
        assert len(completion.token_ids) == 40 or not completion.truncated


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1000])
def test_a_token_is_found_through_sums_of_blocks_as_in_the_whole_cumulative_sum(count):
    draw = torch.Generator().manual_seed(0)
    probability = torch.rand(40, count, generator=draw, dtype=torch.float64)
    probability[:, count // 3 : count // 2] = 0
    uniform = torch.rand(40, generator=draw, dtype=torch.float64)
    uniform[:2] = torch.tensor([0.0, 1 - 1e-16])
    cumulative = probability.cumsum(dim=1)
    expected = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True).clamp(max=count - 1)
    assert torch.equal(_choose(probability, uniform), expected)


def test_a_token_without_probability_is_never_sampled():
    probability = torch.zeros(2, 600)
    probability[:, 300] = 1.0
    assert _choose(probability, torch.tensor([0.0, 1.0])).flatten().tolist() == [300, 300]
