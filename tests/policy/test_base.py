"""Loading policies."""

from __future__ import annotations

import pytest
import torch

from omnithinker.config.model import ModelSettings
from omnithinker.errors import BadInput
from omnithinker.policy.loading import load_policy
from omnithinker.policy.logprobs import completion_logprobs, token_batch
from omnithinker.rollout.base import Sampling
from tests.builders.policy import generate, prompt_of


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_threads_are_set(model_folder):
    load_policy(ModelSettings(path=str(model_folder), threads=2))
    assert torch.get_num_threads() == 2
    load_policy(ModelSettings(path=str(model_folder), threads=1))
    assert torch.get_num_threads() == 1


def test_dtype_is_that_of_the_settings(model_folder):
    policy = load_policy(ModelSettings(path=str(model_folder), dtype="bfloat16"))
    assert next(policy.model.parameters()).dtype == torch.bfloat16


def test_attention_is_computed_as_the_settings_say_with_the_same_result(model_folder):
    policies = [
        load_policy(ModelSettings(path=str(model_folder), device="cpu", attention=kind))
        for kind in ("auto", "sdpa", "eager")
    ]
    used = [policy.model.config._attn_implementation for policy in policies]
    assert used == ["sdpa_unless_one_query", "sdpa", "eager"]
    prompts = [prompt_of(policies[0], text, index=i) for i, text in enumerate(["a prompt", "longer than the other"])]
    settings = [Sampling(temperature=1.0, max_new_tokens=9)] * 2
    found = [dict(generate(policy, prompts, [[1, 2, 3], [4, 5]], settings)) for policy in policies]
    rows = [(p, completion) for p in (0, 1) for completion in found[0][p].trajectories]
    batch = token_batch(prompts, rows, policies[0].device)
    expected_BT = completion_logprobs(policies[0], batch)
    for policy, groups in zip(policies[1:], found[1:], strict=True):
        assert torch.allclose(completion_logprobs(policy, batch), expected_BT, atol=1e-5)
        for p, group in groups.items():
            for one, two in zip(group.trajectories, found[0][p].trajectories, strict=True):
                assert one.token_ids == two.token_ids
                assert one.logprobs == pytest.approx(two.logprobs, abs=1e-5)


@pytest.mark.parametrize("kind", ["flex_attention", "flash_attention_2"])
def test_attention_that_needs_a_gpu_is_refused_on_a_cpu(kind, model_folder):
    with pytest.raises(BadInput, match=f"model.attention = '{kind}' needs a GPU"):
        load_policy(ModelSettings(path=str(model_folder), device="cpu", attention=kind))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_named(model_folder):
    with pytest.raises(BadInput, match="PyTorch sees no GPU"):
        load_policy(ModelSettings(path=str(model_folder), device="cuda"))
