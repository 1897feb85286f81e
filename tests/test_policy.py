"""Loading policies."""

from __future__ import annotations

import pytest
import torch

from omnithinker.errors import BadInput
from omnithinker.policy import load_policy
from omnithinker.recipe import ModelSettings
from tests.conftest import make_policy


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
