"""Every family of models: the log-probabilities of generator, trainer and the model's own forward are the same."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen2ForCausalLM

from omnithinker.config.model import ModelSettings
from omnithinker.errors import BadInput
from omnithinker.policy.loading import load_policy
from omnithinker.policy.logprobs import completion_logprobs, token_batch
from tests.builders.architectures import CANNOT_SHARE, FAMILIES, random_policy, sampled
from tests.builders.policy import make_policy

TOLERANCE = {"qwen3_next": 5e-4}
"""1e-5 elsewhere. Its linear attention runs over a whole text by another algorithm than token by token; in transformers
itself the two differ by up to 2e-4 for these weights."""


@pytest.fixture(params=FAMILIES)
def policy(request):
    return random_policy(request.param)


def own_logprobs(policy, prompt, completion):
    """[T] straight from the model's own forward, one row without padding or cache."""
    ids = torch.tensor([prompt.token_ids + completion.token_ids])
    with torch.no_grad():
        logits = policy.model(input_ids=ids, use_cache=False).logits[0, len(prompt.token_ids) - 1 : -1]
    return logits.log_softmax(dim=-1).gather(1, torch.tensor(completion.token_ids)[:, None]).squeeze(1)


def test_generator_trainer_and_model_agree(policy):
    tolerance = TOLERANCE.get(policy.model.config.model_type, 1e-5)
    prompts, rows = sampled(policy)
    trained_BT = completion_logprobs(policy, token_batch(prompts, rows, policy.device))
    repeated_BT = completion_logprobs(policy, token_batch(prompts, rows, policy.device), shared_prompt=False)
    for b, (p, completion) in enumerate(rows):
        own_T = own_logprobs(policy, prompts[p], completion)
        length = len(completion.token_ids)
        assert torch.allclose(trained_BT[b, :length], own_T, atol=tolerance)
        assert torch.allclose(repeated_BT[b, :length], own_T, atol=tolerance)
        assert torch.allclose(torch.tensor(completion.logprobs), own_T, atol=tolerance)
        assert not trained_BT[b, length:].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_is_computed_once_unless_layers_keep_a_running_state(family):
    policy = random_policy(family)
    prompts, rows = sampled(policy, count=2)
    batch = token_batch(prompts, rows, policy.device)
    seen = []
    policy.model.base_model.register_forward_pre_hook(
        lambda module, args, inputs: seen.append(inputs["input_ids"].shape[0]), with_kwargs=True
    )
    completion_logprobs(policy, batch)
    assert seen == ([len(rows)] if family in CANNOT_SHARE else [len(prompts), len(rows)])


@pytest.mark.parametrize("family", ["qwen2 untied", "gemma2", "cohere2"])
def test_shared_prompt_equals_repeated_prompt_with_gradients(family):
    policy = random_policy(family)
    prompts, rows = sampled(policy)
    batch = token_batch(prompts, rows, policy.device)
    gradients = []
    for shared in (True, False):
        policy.model.zero_grad()
        logprob_BT = completion_logprobs(policy, batch, shared_prompt=shared)
        (logprob_BT * torch.arange(logprob_BT.numel()).view_as(logprob_BT).sin()).sum().backward()
        gradients.append([p.grad.clone() for p in policy.model.parameters()])
    for one, two in zip(*gradients, strict=True):
        assert torch.allclose(one, two, atol=1e-5 * float(two.abs().max() + 1))


@pytest.mark.parametrize("family", ["gemma2", "granite", "llama"])
def test_a_saved_model_of_any_family_loads(family, tmp_path):
    policy = random_policy(family)
    policy.save(tmp_path)
    loaded = load_policy(ModelSettings(path=str(tmp_path), device="cpu"))
    ids = torch.tensor([loaded.tokenizer.encode("hello")])
    assert torch.equal(loaded.model(ids).logits, policy.model(ids).logits)


def test_a_model_with_a_head_of_its_own_is_refused(tmp_path, monkeypatch):
    make_policy().save(tmp_path)
    own = Qwen2ForCausalLM.forward

    def doubled(self, *args, **kwargs):
        output = own(self, *args, **kwargs)
        output.logits = 2 * output.logits
        return output

    monkeypatch.setattr(Qwen2ForCausalLM, "forward", doubled)
    with pytest.raises(BadInput, match="Qwen2ForCausalLM computes its logits in an unsupported way"):
        load_policy(ModelSettings(path=str(tmp_path), device="cpu"))
