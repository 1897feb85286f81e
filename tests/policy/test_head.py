"""From hidden states to log-probabilities and entropies: blocks of any size give the same as a softmax."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from omnithinker.policy.head import score_tokens, token_entropies
from omnithinker.policy.loading import load_trained
from omnithinker.policy.logprobs import completion_logprobs, token_batch
from tests.builders.policy import completion_of, make_policy, prompt_of, settings_of

N, H, V = 6, 5, 23
TOKENS = torch.tensor([0, 6, 7, 13, 14, 22])
"""The first and last of the vocabulary, and both sides of the edges of blocks of 7."""
BLOCKS = [1, N, 7 * N, V * N]
"""Logits at once: blocks of 1, 1, 7 and all columns; one token at a time for entropies, or several."""


class Model:
    """What the head reads of a model."""

    def __init__(self, *, bias=False, dtype=torch.float64, **config):
        draw = torch.Generator().manual_seed(0)
        self.head = torch.nn.Linear(H, V, bias=bias, dtype=dtype)
        for parameter in self.head.parameters():
            parameter.data = torch.randn(parameter.shape, generator=draw, dtype=torch.float64).to(dtype)
        self.hidden = torch.randn(N, H, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(**config))

    def get_output_embeddings(self):
        return self.head

    def gradients(self, value_N):
        return torch.autograd.grad(value_N.sin().sum(), [self.hidden, *self.head.parameters()])


class Wrapped(torch.nn.Module):
    """A head that is more than a matrix."""

    def __init__(self, head):
        super().__init__()
        self.head, self.weight = head, head.weight

    def forward(self, hidden):
        return self.head(hidden)


FORMS = {
    "plain": ({}, lambda products: products),
    "divided": ({"logits_scaling": 4.0}, lambda products: products / 4),
    "multiplied": ({"logit_scale": 0.25}, lambda products: products / 4),
    "capped": ({"final_logit_softcapping": 2.0}, lambda products: 2 * (products / 2).tanh()),
    "multiplied and capped": (
        {"lm_head_multiplier": 3.0, "final_logit_softcapping": 2.0},
        lambda products: 2 * (3 * products / 2).tanh(),
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("at_once", BLOCKS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("temperatures", [[1.0] * N, [0.7, 1.0, 1.3, 2.0, 1.0, 0.5]])
@pytest.mark.parametrize("wrapped", [False, True])
def test_log_probabilities_and_their_gradients_are_those_of_a_log_softmax(
    form, at_once, bias, temperatures, wrapped, monkeypatch
):
    monkeypatch.setattr("omnithinker.policy.head.LOGITS_AT_ONCE", at_once)
    config, apply = FORMS[form]
    model, temperature_N = Model(bias=bias, **config), torch.tensor(temperatures, dtype=torch.float64)
    logits = apply(model.head(model.hidden)) / temperature_N[:, None]
    expected = logits.log_softmax(dim=1).gather(1, TOKENS[:, None]).squeeze(1)
    reference = model.gradients(expected)
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    if wrapped:
        plain, model.head = model.head, Wrapped(model.head)
        model.gradients = lambda v: torch.autograd.grad(v.sin().sum(), [model.hidden, *plain.parameters()])
    found = score_tokens(model.hidden, TOKENS, model, temperature_N)
    assert torch.allclose(found, expected, atol=1e-12)
    for one, two in zip(model.gradients(found), reference, strict=True):
        assert torch.allclose(one, two, atol=1e-12)
    assert torch.allclose(token_entropies(model.hidden, TOKENS, model, temperature_N), entropy, atol=1e-12)


@pytest.mark.parametrize("at_once", BLOCKS)
def test_with_autocast_products_are_in_bfloat16_and_the_softmax_in_float32(at_once, monkeypatch):
    monkeypatch.setattr("omnithinker.policy.head.LOGITS_AT_ONCE", at_once)
    model, ones = Model(dtype=torch.float32), torch.ones(N)
    with torch.autocast("cpu", torch.bfloat16):
        products = model.head(model.hidden)
        found = score_tokens(model.hidden, TOKENS, model, ones)
    assert products.dtype == torch.bfloat16
    expected = products.float().log_softmax(dim=1).gather(1, TOKENS[:, None]).squeeze(1)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-5)
    for one, two in zip(model.gradients(found), model.gradients(expected), strict=True):
        assert one.dtype == torch.float32
        assert torch.allclose(one, two, atol=0.01 * float(two.abs().max()))


def test_frozen_weights_get_no_gradient():
    model = Model()
    model.head.weight.requires_grad_(False)
    score_tokens(model.hidden, TOKENS, model, torch.ones(N)).sum().backward()
    assert model.hidden.grad is not None
    assert model.head.weight.grad is None


def test_an_adapter_on_the_head_is_trained(tmp_path):
    make_policy().save(tmp_path)
    policy = load_trained(settings_of(tmp_path, lora={"rank": 2, "targets": ["lm_head"]}), seed=0)
    batch = token_batch([prompt_of(policy, "q")], [(0, completion_of(range(5)))], policy.device)
    completion_logprobs(policy, batch).sum().backward()
    assert [name for name, p in policy.model.named_parameters() if p.grad is not None and p.grad.any()] == [
        "lm_head.lora_B.default.weight"  # the other factor has a gradient once this one is not zero
    ]


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in torch.utils._pytree.tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self.numbers = max(self.numbers, value.numel())
        return result


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logits_of_all_tokens_never_exist_at_once(temperature, monkeypatch):
    policy = make_policy(vocabulary=5000)
    rows = [(0, completion_of(range(40)))] * 4
    batch = token_batch([prompt_of(policy, "q")], rows, policy.device, [temperature] * 4)

    def largest(at_once):
        monkeypatch.setattr("omnithinker.policy.head.LOGITS_AT_ONCE", at_once)
        policy.model.zero_grad()
        with Largest() as mode:
            completion_logprobs(policy, batch).sum().backward()
        return mode.numbers

    # Weights of the embedding and their gradient have 5000 x 32 numbers; 160 tokens have 160 x 5000 logits.
    assert largest(160 * 500) == 5000 * 32
    assert largest(160 * 5000) == 160 * 5000
