"""One update against a naive reference: plain loops over tokens, in float64, for every setting of the loss."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch

from omnithinker.policy.logprobs import Reference
from omnithinker.train.batching import Sample, group_samples, microbatches, split_evenly
from omnithinker.train.trainer import update_policy, with_old_logprobs
from omnithinker.types import Prompt, RolloutGroup, Score, Trajectory
from tests.builders.policy import make_policy, prompt_of
from tests.builders.training import recipe_of, samples_of


def group_of(policy, texts_and_rewards, task="a", index=0) -> RolloutGroup:
    prompt = prompt_of(policy, f"{task}{index}", task, index)
    completions, scores = [], []
    for ids, reward in texts_and_rewards:
        completions.append(Trajectory(text="", token_ids=ids, logprobs=tuple(-1.0 - 0.1 * t for t in range(len(ids)))))
        scores.append(Score(reward=reward, components={}, correct=reward))
    return RolloutGroup(prompt=prompt, trajectories=tuple(completions), scores=tuple(scores))


def token_logprobs(policy, prompt, ids, temperature):
    """[T] by one forward pass of one sequence."""
    tokens = torch.tensor([[*prompt.token_ids, *ids]])
    table = torch.log_softmax(policy.model(input_ids=tokens).logits[0] / temperature, dim=-1)
    start = len(prompt.token_ids) - 1
    return [table[start + t, token] for t, token in enumerate(ids)]


def naive_advantages(group, scale):
    known = [score.reward for score in group.scores if score.reward is not None]
    if len(known) < 2:
        return [None] * len(group.scores)
    mean = sum(known) / len(known)
    deviation = math.sqrt(sum((r - mean) ** 2 for r in known) / (len(known) - 1))
    scale_by = deviation + 1e-6 if scale else 1.0
    return [None if s.reward is None else (s.reward - mean) / scale_by for s in group.scores]


def naive_loss(policy, reference, groups, recipe, initial):
    """Eq. 4 of a minibatch: one forward pass per completion, loops over tokens.

    ``initial`` is the policy at the start of the step.
    """
    training = recipe.training
    members = []
    for p, group in enumerate(groups):
        for completion, advantage in zip(
            group.trajectories, naive_advantages(group, training.scale_advantages), strict=True
        ):
            if advantage is not None and not (completion.truncated and training.truncated == "mask"):
                members.append((p, group.prompt, completion, advantage))
    total = 0.0
    for p, prompt, completion, advantage in members:
        task, length = recipe.tasks[prompt.task], len(completion.token_ids)
        temperature = task.temperature or recipe.sampling.temperature
        low = task.clip_low or training.clip_low
        high = task.clip_high or training.clip_high
        new = token_logprobs(policy, prompt, completion.token_ids, temperature)
        trainers = [x.detach() for x in token_logprobs(initial, prompt, completion.token_ids, temperature)]
        old = (
            completion.logprobs
            if training.minibatches > 1 and training.importance_sampling_correction == "off"
            else trainers
        )
        tokens = 0.0
        ratios = [math.exp(float(t) - d) for t, d in zip(trainers, completion.logprobs, strict=True)]
        if training.importance_sampling_correction == "sequence":
            ratios = [math.prod(ratios)] * length
        for t in range(length):
            rho = torch.exp(new[t] - old[t])
            clipped = torch.clamp(rho, 1 - low, 1 + high)
            importance = 1.0
            if training.importance_sampling_correction != "off":
                kept = training.importance_sampling_cap if training.importance_sampling_mode == "truncate" else 0.0
                importance = ratios[t] if ratios[t] <= training.importance_sampling_cap else kept
            tokens = tokens - importance * torch.minimum(rho * advantage, clipped * advantage)
            if task.beta:
                d = token_logprobs(reference, prompt, completion.token_ids, temperature)[t].detach() - new[t]
                estimate = {"k1": -d, "k2": d * d / 2, "k3": torch.exp(d) - d - 1}[training.kl]
                tokens = tokens + task.beta * estimate
        if training.loss_norm == "sequence":
            share = sum(other[0] == p for other in members)
            factor = 1 / (length * share * len({other[0] for other in members}))
        elif training.loss_norm == "token":
            factor = 1 / sum(len(other[2].token_ids) for other in members)
        else:
            factor = 1 / (len(members) * (task.max_new_tokens or recipe.sampling.max_new_tokens))
        total = total + task.weight * tokens * factor
    return total


def shifted(policy, scale):
    """A copy with other weights."""
    copy = deepcopy(policy)
    with torch.no_grad():
        for k, parameter in enumerate(copy.model.parameters()):
            parameter.mul_(1 + scale * ((k % 5) - 2))
    return copy


def groups_of(policy):
    """Groups with undefined completions, without variance, with too few defined ones, and with a truncated one."""
    truncated = RolloutGroup(
        prompt=prompt_of(policy, "b4", "b", 4),
        trajectories=tuple(
            Trajectory(text="", token_ids=ids, logprobs=tuple(-5.0 - 0.3 * t for t in range(len(ids))), truncated=cut)
            for ids, cut in (((41, 6), False), ((42, 7, 8, 1, 2, 3), True), ((43,), False))
        ),
        scores=tuple(Score(reward=r, components={}, correct=r) for r in (1.0, 0.0, 0.25)),
    )
    return [
        group_of(policy, [((5, 6, 7), 1.0), ((8, 9), 0.0), ((3,), 0.5), ((4, 4, 4, 4), None)], "a", 0),
        group_of(policy, [((15, 6, 7), 0.5), ((18, 9), 0.5), ((13,), 0.5), ((14, 4), 0.5)], "a", 1),
        group_of(policy, [((25, 6), None), ((28, 9), None), ((23,), 1.0), ((24, 4), None)], "b", 2),
        group_of(policy, [((35, 6, 7, 9, 9, 1), 0.1), ((38, 9), 0.0), ((33,), 0.7), ((34, 4), 0.2)], "b", 3),
        truncated,
    ]


CASES = {
    "no reference": {"betas": {"a": 0.0, "b": 0.0}},
    "two betas": {"betas": {"a": 0.3, "b": 0.05}},
    "reference for one task": {"betas": {"a": 0.2, "b": 0.0}},
    "k1": {"betas": {"a": 0.3, "b": 0.1}, "kl": "k1"},
    "k2": {"betas": {"a": 0.3, "b": 0.1}, "kl": "k2"},
    "dapo": {"betas": {"a": 0.2, "b": 0.0}, "preset": "dapo"},
    "dr_grpo": {"betas": {"a": 0.2, "b": 0.0}, "preset": "dr_grpo"},
    "truncated masked": {"truncated": "mask"},
    "own clips": {"a": {"clip_low": 0.02, "clip_high": 0.05}, "b": {"clip_high": 0.9}},
    "own weights and limits": {"preset": "dr_grpo", "a": {"weight": 2.5, "max_new_tokens": 9}, "b": {"weight": 0.5}},
    "own temperatures": {"betas": {"a": 0.2, "b": 0.1}, "a": {"temperature": 0.7}, "b": {"temperature": 1.3}},
    "importance of tokens": {"importance_sampling_correction": "token", "importance_sampling_cap": 1.1},
    "importance of sequences, masked": {
        "importance_sampling_correction": "sequence",
        "importance_sampling_mode": "mask",
        "importance_sampling_cap": 2.0,
        "betas": {"a": 0.2, "b": 0.1},
    },
}


@pytest.mark.parametrize("minibatches", [1, 2, 5])
@pytest.mark.parametrize("name", CASES)
def test_update_equals_the_naive_reference(name, minibatches, model_folder):
    settings = dict(CASES[name])
    own = {task: settings.pop(task, {}) for task in ("a", "b")}
    for budget in (10_000, 40):
        recipe = recipe_of(
            model_folder, minibatches=minibatches, microbatch_tokens=budget, max_grad_norm=1e9, own=own, **settings
        )
        initial = make_policy(dtype=torch.float64)
        policy = shifted(initial, 0.003) if minibatches > 1 else initial
        reference = shifted(initial, 0.01)
        groups = groups_of(policy)
        for members in split_evenly(len(groups), minibatches):
            minibatch = [groups[p] for p in members]
            parts = samples_of(minibatch, recipe)
            if minibatches > 1:
                parts = with_old_logprobs(initial, parts, recipe)
            optimizer = torch.optim.SGD(policy.model.parameters(), lr=0.0)
            result = update_policy(policy, Reference(reference), optimizer, parts, recipe, note=print)
            if not any(part.samples for part in parts):
                assert result is None
                continue
            found = [p.grad.clone() for p in policy.model.parameters()]
            policy.model.zero_grad()
            expected = naive_loss(policy, reference, minibatch, recipe, initial)
            expected.backward()
            gradients = [p.grad.clone() for p in policy.model.parameters()]
            norm = torch.sqrt(sum(g.square().sum() for g in gradients))
            # Rows with advantage 0 and no KL term are skipped; their surrogate is 0 and changes nothing.
            assert result.loss == pytest.approx(float(expected.detach()), abs=1e-9)
            assert result.grad_norm == pytest.approx(float(norm), abs=1e-9)
            for ours, naive in zip(found, gradients, strict=True):
                assert torch.allclose(ours, naive, atol=1e-9, rtol=0)


def test_gradient_of_an_update_by_finite_differences(model_folder):
    recipe = recipe_of(model_folder, minibatches=2, max_grad_norm=1e9, betas={"a": 0.2, "b": 0.1})
    initial = make_policy(dtype=torch.float64)
    policy, reference = shifted(initial, 0.003), shifted(initial, 0.01)
    groups = groups_of(policy)
    parts = with_old_logprobs(initial, samples_of(groups, recipe), recipe)
    optimizer = torch.optim.SGD(policy.model.parameters(), lr=0.0)
    update_policy(policy, Reference(reference), optimizer, parts, recipe, note=print)
    weight = policy.model.model.layers[1].mlp.up_proj.weight
    gradient, step = weight.grad.clone(), 1e-6
    for place in [(0, 0), (3, 7), (20, 30)]:
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[place] += sign * step
            values.append(update_policy(policy, Reference(reference), optimizer, parts, recipe, note=print).loss)
            with torch.no_grad():
                weight[place] -= sign * step
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(gradient[place]), abs=1e-7, rel=1e-5)


def test_gradients_are_scaled_down_to_the_norm(model_folder):
    policy = make_policy()
    group = group_of(policy, [((5, 6), 1.0), ((7,), 0.0)])
    parts = samples_of([group], recipe_of(model_folder))
    optimizer = torch.optim.SGD(policy.model.parameters(), lr=0.0)
    result = update_policy(policy, None, optimizer, parts, recipe_of(model_folder, max_grad_norm=0.01), note=print)
    norm = torch.sqrt(sum(p.grad.square().sum() for p in policy.model.parameters()))
    assert result.grad_norm > 0.01
    assert float(norm) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("paper", [1 / 4, 1 / 4, 1 / 2]), ("dapo", [2 / 6, 1 / 6, 3 / 6]), ("dr_grpo", [2 / 18, 1 / 18, 3 / 18])],
)
def test_presets_reach_the_weights_of_the_loss(preset, expected, model_folder):
    policy = make_policy()
    groups = [
        group_of(policy, [((5, 6), 1.0), ((7,), 0.0)], "a", 0),
        group_of(policy, [((5, 6, 7), 1.0), ((7,), None)], "a", 1),
    ]
    recipe = recipe_of(model_folder, preset=preset)
    advantages_PG = torch.tensor([[1.0, -1.0], [0.5, math.nan]])
    parts = [
        group_samples(group, advantages_G, recipe) for group, advantages_G in zip(groups, advantages_PG, strict=True)
    ]
    total = sum(part.total for part in parts)
    weights = [row.weight / total for part in parts for row in part.samples]
    assert weights == pytest.approx(expected)  # the token limit is 6


def test_truncated_completions_can_be_masked(model_folder):
    policy = make_policy()
    group = group_of(policy, [((5,), 1.0), ((6,), 0.0)])
    group = RolloutGroup(
        prompt=group.prompt,
        trajectories=(group.trajectories[0], Trajectory(text="", token_ids=(6,), truncated=True)),
        scores=group.scores,
    )
    advantages_G = torch.tensor([0.7, -0.7])
    assert len(group_samples(group, advantages_G, recipe_of(model_folder)).samples) == 2
    assert len(group_samples(group, advantages_G, recipe_of(model_folder, truncated="mask")).samples) == 1


def rows_of(lengths, prompts):
    """For each prompt in turn its rows: a row of each length, dealt out to the prompts."""
    rows = [
        Sample(prompts[k % len(prompts)], Trajectory(text="", token_ids=(1,) * length), 1.0, 1.0, 0.0)
        for k, length in enumerate(lengths)
    ]
    return [[row for row in rows if row.prompt is prompt] for prompt in prompts]


def test_microbatches_respect_the_budget_and_lose_nothing():
    prompts = [Prompt(task="a", index=i, text="", token_ids=(1,) * 7) for i in range(3)]
    groups = rows_of(range(1, 28, 3), prompts)
    found = list(microbatches(groups, 60))
    assert sorted(id(r) for _, parts in found for part in parts for r in part) == sorted(
        id(r) for g in groups for r in g
    )
    for held, parts in found:
        assert {id(r.prompt) for part in parts for r in part} == set(map(id, held))
        assert 7 * len(held) <= 30
        assert len(held) == 1 or sum(len(r.trajectory.token_ids) for part in parts for r in part) <= 60
        for part in parts:
            assert len(part) == 1 or len(part) * max(len(r.trajectory.token_ids) for r in part) <= 30


def test_microbatches_keep_a_block_of_prompts_within_the_budget():
    prompts = [Prompt(task="a", index=i, text="", token_ids=(1,) * (3 + i)) for i in range(5)]
    groups = rows_of([1] * 10, prompts)
    assert [[p.index for p in held] for held, _ in microbatches(groups, 26)] == [[0, 1], [2, 3], [4]]


def test_a_block_is_yielded_as_soon_as_the_next_begins():
    prompts = [Prompt(task="a", index=i, text="", token_ids=(1,)) for i in range(4)]
    asked = []

    def groups():
        for k, group in enumerate(rows_of([30] * 8, prompts)):
            asked.append(k)
            yield group

    blocks = microbatches(groups(), 120)
    assert [p.index for p in next(blocks)[0]] == [0, 1]
    assert asked == [0, 1, 2]


def test_long_and_short_completions_are_not_padded_to_each_other():
    prompt = Prompt(task="a", index=0, text="", token_ids=(1,))
    [(_, parts)] = microbatches(rows_of([10] * 40 + [400] * 4, [prompt]), 16384)
    assert [sorted({len(r.trajectory.token_ids) for r in part}) for part in parts] == [[400], [10]]
