"""Trajectories of two turns: a tool's answer between two actions is attended to and never trained on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omnithinker.io.step_metrics import Seconds
from omnithinker.policy.logprobs import Reference, completion_entropies, completion_logprobs, token_batch
from omnithinker.train.batching import group_samples
from omnithinker.train.metrics import step_metrics
from omnithinker.train.trainer import update_policy, with_old_logprobs
from omnithinker.types import RolloutGroup, Score, Trajectory
from tests.builders.policy import make_policy, prompt_of
from tests.builders.training import recipe_of, samples_of

CALL, ANSWER, REPLY = (40, 41, 42), (50, 51, 52, 53), (60, 61)
"""Tokens of the policy's call of a tool, of the tool's answer, and of the policy's reply."""


def two_turns(call=CALL, answer=ANSWER, reply=REPLY, attended=None) -> Trajectory:
    ids = (*call, *answer, *reply)
    return Trajectory(
        text="",
        token_ids=ids,
        attention_mask=(True,) * len(call) + (attended or (True,) * len(answer)) + (True,) * len(reply),
        action_mask=(True,) * len(call) + (False,) * len(answer) + (True,) * len(reply),
        # What a generator reports at observations means nothing.
        logprobs=tuple(
            -1.0 - 0.1 * t if t < len(call) or t >= len(call) + len(answer) else 1e9 for t in range(len(ids))
        ),
        entropies=(0.5,) * len(call) + (float("nan"),) * len(answer) + (1.5,) * len(reply),
    )


def group_of(policy, trajectories, rewards) -> RolloutGroup:
    return RolloutGroup(
        prompt=prompt_of(policy, "question", "a"),
        trajectories=tuple(trajectories),
        scores=tuple(Score(reward=r, components={}, correct=r) for r in rewards),
    )


def rows(policy, prompt, trajectory, temperature=1.0):
    """Log-probabilities of the actions, one at a time: a forward pass over what precedes and is attended to."""
    tokens, values = [*prompt.token_ids], []
    seen = torch.ones(len(tokens), dtype=torch.long).tolist()
    for token, attended, action in zip(
        trajectory.token_ids, trajectory.attention_mask, trajectory.action_mask, strict=True
    ):
        if action:
            kept = torch.tensor([seen])
            logits = policy.model(
                input_ids=torch.tensor([tokens]),
                attention_mask=kept,
                position_ids=(kept.cumsum(1) - 1).clamp(min=0),
            ).logits[0, -1]
            values.append(torch.log_softmax(logits / temperature, dim=-1))
        tokens.append(token)
        seen.append(int(attended))
    actions = [token for token, action in zip(trajectory.token_ids, trajectory.action_mask, strict=True) if action]
    return values, actions


def shifted(policy, scale):
    from copy import deepcopy

    copy = deepcopy(policy)
    with torch.no_grad():
        for k, parameter in enumerate(copy.model.parameters()):
            parameter.mul_(1 + scale * ((k % 5) - 2))
    return copy


TRAJECTORIES = (
    two_turns(),
    two_turns(call=(44,), answer=(45, 46), reply=(47, 48, 49)),
    two_turns(call=(), answer=(54, 55), reply=(56,)),
    Trajectory(text="", token_ids=(70, 71), logprobs=(-1.0, -2.0)),
    two_turns(attended=(True, False, True, True)),
)
REWARDS = (1.0, 0.0, 0.25, 0.5, 0.75)


@pytest.mark.parametrize("minibatches", [1, 2])
@pytest.mark.parametrize(
    "settings", [{}, {"preset": "dapo"}, {"importance_sampling_correction": "sequence", "importance_sampling_cap": 1e3}]
)
def test_the_gradient_equals_that_of_a_naive_loop_over_the_actions(settings, minibatches, model_folder):
    recipe = recipe_of(model_folder, betas={"a": 0.2, "b": 0.0}, max_grad_norm=1e9, minibatches=minibatches, **settings)
    initial = make_policy(dtype=torch.float64)
    policy, reference = shifted(initial, 0.003 if minibatches > 1 else 0.0), shifted(initial, 0.01)
    group = group_of(policy, TRAJECTORIES, REWARDS)
    samples = samples_of([group], recipe)
    if minibatches > 1:
        samples = with_old_logprobs(initial, samples, recipe)
    optimizer = torch.optim.SGD(policy.model.parameters(), lr=0.0)
    update = update_policy(policy, Reference(reference), optimizer, samples, recipe, note=print)
    gradients = [parameter.grad.clone() for parameter in policy.model.parameters()]

    policy.model.zero_grad()
    mean = sum(REWARDS) / 5
    deviation = (sum((r - mean) ** 2 for r in REWARDS) / 4) ** 0.5
    loss, corrected = 0.0, recipe.training.importance_sampling_correction != "off"
    low, high = recipe.clip_of("a")
    for trajectory, reward in zip(TRAJECTORIES, REWARDS, strict=True):
        advantage = (reward - mean) / (deviation + 1e-6)
        (new, actions), (ref, _), (old, _) = (rows(p, group.prompt, trajectory) for p in (policy, reference, initial))
        recorded = [x for x, action in zip(trajectory.logprobs, trajectory.action_mask, strict=True) if action]
        before = [float(old[t][token].detach()) for t, token in enumerate(actions)]
        importance = 1.0
        if corrected:
            importance = min(torch.tensor(before).sub(torch.tensor(recorded)).double().sum().exp().item(), 1e3)
        terms = 0.0
        for t, token in enumerate(actions):
            start = new[t][token].detach() if minibatches == 1 else (before[t] if corrected else recorded[t])
            rho = torch.exp(new[t][token] - start)
            d = ref[t][token].detach() - new[t][token]
            surrogate = torch.minimum(rho * advantage, rho.clamp(1 - low, 1 + high) * advantage)
            terms = terms - importance * surrogate + 0.2 * (torch.exp(d) - d - 1)
        total = 5 * len(actions) if recipe.training.loss_norm == "sequence" else sum(x.length for x in TRAJECTORIES)
        loss = loss + terms / total
    loss.backward()
    assert update.loss == pytest.approx(float(loss.detach()), abs=1e-6 if corrected else 1e-9)
    for ours, parameter in zip(gradients, policy.model.parameters(), strict=True):
        assert torch.allclose(ours, parameter.grad, atol=1e-6 if corrected else 1e-9, rtol=1e-6 if corrected else 0)


def test_a_tools_answer_is_attended_to_and_is_no_target(model_folder):
    """Other observations change what follows; their own log-probabilities are never asked for."""
    policy = make_policy()
    prompt = prompt_of(policy, "question", "a")
    one, other = two_turns(), two_turns(answer=(50, 51, 52, 99))
    batch = token_batch([prompt], [(0, one), (0, other)], policy.device)
    logprob_BT = completion_logprobs(policy, batch)
    assert torch.equal(logprob_BT[0, :3], logprob_BT[1, :3])
    assert not torch.allclose(logprob_BT[0, 7:], logprob_BT[1, 7:])
    assert not logprob_BT[:, 3:7].any()
    assert torch.allclose(logprob_BT, completion_logprobs(policy, batch, shared_prompt=False), atol=1e-5)


def test_tokens_that_are_not_attended_to_change_nothing_after_them():
    policy = make_policy()
    prompt = prompt_of(policy, "question", "a")
    hidden = (True, False, False, True)
    pair = [two_turns(answer=(50, a, b, 53), attended=hidden) for a, b in ((51, 52), (7, 8))]
    batch = token_batch([prompt], [(0, one) for one in pair], policy.device)
    logprob_BT = completion_logprobs(policy, batch)
    assert torch.allclose(logprob_BT[0], logprob_BT[1], atol=1e-6)


def test_lengths_weights_and_metrics_count_actions_only(model_folder):
    policy = make_policy()
    group = group_of(policy, TRAJECTORIES, REWARDS)
    assert [trajectory.length for trajectory in TRAJECTORIES] == [5, 4, 1, 2, 5]
    samples = group_samples(group, torch.tensor([1.0, -1.0, 0.0, 0.5, 0.5]), recipe_of(model_folder, preset="dapo"))
    assert [sample.weight for sample in samples.samples] == [5, 4, 1, 2, 5]
    assert samples.total == 17
    metrics = step_metrics(1, [group], torch.zeros(1, 5), [], Seconds(1, 0, 1), {}).tasks["a"]
    assert metrics.length == pytest.approx(17 / 5)
    assert metrics.tokens == 17
    # Means over actions: (3 x 0.5 + 2 x 1.5) / 5 twice, (0.5 + 3 x 1.5) / 4, 1.5; one reports none.
    assert metrics.entropy == pytest.approx((0.9 + 1.25 + 1.5 + 0.9) / 4)


def test_entropies_of_actions_equal_a_loop():
    policy = make_policy(dtype=torch.float64)
    prompt = prompt_of(policy, "question", "a")
    batch = token_batch([prompt], [(0, one) for one in TRAJECTORIES], policy.device, [0.7] * 5)
    entropy_BT = completion_entropies(policy, batch)
    for b, trajectory in enumerate(TRAJECTORIES):
        distributions, _ = rows(policy, prompt, trajectory, temperature=0.7)
        expected = [float(-(d.exp() * d).sum().detach()) for d in distributions]
        assert trajectory.actions(entropy_BT[b, : len(trajectory.token_ids)].tolist()) == pytest.approx(expected)
        observed = [x for x, action in zip(entropy_BT[b].tolist(), trajectory.action_mask, strict=False) if not action]
        assert observed == [0.0] * len(observed)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("action_mask", (True,), "action_mask has 1 values for 9 tokens"),
        ("logprobs", (0.0,), "logprobs has 1 values for 9 tokens"),
        ("attention_mask", (False,) * 9, "attention_mask is False at an action"),
    ],
)
def test_a_trajectory_that_cannot_be_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        replace(two_turns(), **{field: value})
