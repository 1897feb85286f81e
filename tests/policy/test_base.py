"""Loading policies."""

from __future__ import annotations

import pytest
import torch

from omnithinker.config.model import ModelSettings
from omnithinker.errors import BadInput
from omnithinker.policy.loading import load_policy
from omnithinker.policy.logprobs import completion_logprobs, token_batch
from omnithinker.rollout.native import Sampling, generate
from tests.builders.policy import make_policy, prompt_of


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


def test_a_model_without_chat_template_is_refused(tmp_path):
    policy = make_policy()
    policy.tokenizer.chat_template = None
    policy.save(tmp_path)
    with pytest.raises(BadInput, match="has no chat template"):
        load_policy(ModelSettings(path=str(tmp_path)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_named(model_folder):
    with pytest.raises(BadInput, match="PyTorch sees no GPU"):
        load_policy(ModelSettings(path=str(model_folder), device="cuda"))


def test_end_tokens_are_left_out_of_the_text():
    policy = make_policy()
    ids = policy.tokenizer("hello")["input_ids"]
    assert policy.decode([*ids, policy.end_ids[0]]) == "hello"


def test_the_prompt_ends_with_the_generation_prompt():
    policy = make_policy()
    start = policy.tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert policy.encode("hi")[-1] == start
    assert policy.encode("hi", system="be brief")[:1] == (start,)
    assert len(policy.encode("hi", system="be brief")) > len(policy.encode("hi"))


def test_a_template_without_generation_prompt_is_taken_as_it_is():
    policy = make_policy()
    with_prompt = policy.encode("hi")
    policy.tokenizer.chat_template = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
    assert policy.encode("hi") == with_prompt[:-1]


@pytest.mark.parametrize(
    ("overlong", "kept"), [("drop", None), ("truncate_left", "6789"), ("truncate_right", "0123")], ids=lambda v: str(v)
)
def test_a_prompt_over_the_limit_is_dropped_or_cut_and_keeps_its_template(overlong, kept):
    policy = make_policy()
    template = len(policy.encode(""))
    assert policy.encode_within("0123", None, template + 4, overlong) == policy.encode("0123")
    cut = policy.encode_within("0123456789", None, template + 4, overlong)
    assert cut == (None if kept is None else policy.encode(kept))


def test_a_prompt_whose_template_alone_is_too_long_is_dropped():
    policy = make_policy()
    assert policy.encode_within("hello", "a long system message", 10, "truncate_left") is None


def test_a_cut_that_changes_the_tokens_beside_it_still_fits():
    policy = make_policy()
    template = len(policy.encode(""))
    # Each of these signs is three byte tokens; half a sign decodes to U+FFFD, which is three tokens again.
    for limit in range(1, 12):
        ids = policy.encode_within("\u4e2d\u6587\u5b57\u7b26", None, template + limit, "truncate_left")
        assert ids is None or len(ids) <= template + limit
