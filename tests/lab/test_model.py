"""The shipped model: files, tokenizer, lengths, accuracy; reproducibility of the build."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer

from omnithinker.config.model import ModelSettings
from omnithinker.lab import DOMAINS, MODEL_PATH, generate_items, generate_rows
from omnithinker.lab.build import BuildSettings, build
from omnithinker.lab.habits import HABITS, completion_text, sample_completion
from omnithinker.lab.tokenizer import END, TAGS
from omnithinker.policy.loading import load_policy
from omnithinker.rewards.answers import last_answer
from omnithinker.rollout.base import Sampling
from omnithinker.types import Prompt
from tests.builders.policy import generate


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(MODEL_PATH)


def checksums(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def test_files_have_the_published_hashes():
    published = checksums(MODEL_PATH)
    assert {
        "model.safetensors",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "build.log",
    } <= set(published)
    for name, digest in published.items():
        assert hashlib.sha256((MODEL_PATH / name).read_bytes()).hexdigest() == digest, name
    assert (MODEL_PATH / "model.safetensors").stat().st_size <= 8_000_000


def test_architecture_is_qwen2():
    config = AutoConfig.from_pretrained(MODEL_PATH)
    assert config.architectures == ["Qwen2ForCausalLM"]
    assert config.tie_word_embeddings


def test_chat_template_is_short(tokenizer):
    def render(messages):
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    assert render([{"role": "user", "content": "hello"}]) == "<|im_start|> hello<|im_end|><|im_start|>"
    dialogue = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "<answer> hi</answer>"},
    ]
    assert render(dialogue) == (
        "<|im_start|> be brief<|im_end|><|im_start|> hello<|im_end|>"
        "<|im_start|><answer> hi</answer><|im_end|><|im_start|>"
    )


@pytest.mark.parametrize("domain", DOMAINS)
def test_completions_survive_the_tokenizer(tokenizer, domain):
    rng = random.Random(0)
    for item in generate_items(domain, "test", 60):
        text = sample_completion(item, HABITS[domain][item.row["kind"]], rng)
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_any_text_survives_the_tokenizer(tokenizer):
    text = "Zürich: 3,14 ≈ π\n\tif x<2:  return '日本'"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_all_loaders_give_the_same_tokenizer(tokenizer):
    """Some loaders choose the tokenizer class by architecture, others by file; token ids must agree."""
    from_file = Tokenizer.from_file(str(MODEL_PATH / "tokenizer.json"))
    rng = random.Random(0)
    for domain in DOMAINS:
        for item in generate_items(domain, "test", 40):
            completion = sample_completion(item, HABITS[domain][item.row["kind"]], rng)
            for text in (f"<|im_start|> {item.row['prompt']}<|im_end|>", completion):
                assert from_file.encode(text).ids == tokenizer(text)["input_ids"]


def test_tags_are_ordinary_single_tokens(tokenizer):
    for tag in TAGS:
        assert len(tokenizer(tag)["input_ids"]) == 1
        assert tag not in tokenizer.all_special_tokens
    assert tokenizer.eos_token == END
    assert len(tokenizer("123")["input_ids"]) == 3


@pytest.mark.parametrize("domain", DOMAINS)
def test_prompts_and_completions_are_short(tokenizer, domain):
    for item in generate_items(domain, "test", 300):
        messages = [{"role": "user", "content": item.row["prompt"]}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        assert 10 <= len(prompt["input_ids"]) <= 30
        for solution in (item.right, item.wrong):
            text = completion_text("slowly", solution.reasoning, solution.answer) + END
            assert 8 <= len(tokenizer(text)["input_ids"]) <= 36


def test_building_twice_gives_the_same_files(tmp_path):
    settings = BuildSettings(tokens=4_000, batch=16, pool=64, tokenizer_items=400, threads=1)
    for name in ("one", "two"):
        build(tmp_path / name, settings)
    first = checksums(tmp_path / "one")
    assert first == checksums(tmp_path / "two")
    assert "model.safetensors" in first
    build(tmp_path / "other", replace(settings, seed=1))
    assert checksums(tmp_path / "other")["model.safetensors"] != first["model.safetensors"]


@pytest.mark.parametrize("domain", ["math", "qa"])
def test_base_model_is_partly_right(domain):
    """Accuracy on a sample of the domains that need no sandbox; docs/lab.md has all domains."""
    policy = load_policy(ModelSettings(device="cpu"))
    rows = generate_rows(domain, "test", 160)
    prompts = [
        Prompt(task=domain, index=i, text=r["prompt"], token_ids=policy.tokenizer.encode(r["prompt"]))
        for i, r in enumerate(rows)
    ]
    greedy = Sampling(temperature=0.0, max_new_tokens=40)
    groups = generate(policy, prompts, [[0]] * len(prompts), [greedy] * len(prompts))
    right = [last_answer(group.trajectories[0].text) == rows[p]["answer"] for p, group in groups]
    assert 0.25 <= sum(right) / len(right) <= 0.65
