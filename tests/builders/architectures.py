"""Tiny random models of many families, as policies."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from omnithinker.policy.attention import speed_up_decoding
from omnithinker.policy.base import Policy
from omnithinker.policy.tokenizer import ChatTokenizer
from omnithinker.rollout.base import Sampling, sample_seed
from tests.builders.policy import generate, make_policy, prompt_of

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": None,
    "initializer_range": 0.3,
}
SLIDING = ["sliding_attention", "full_attention"] * 2
LINEAR = ["linear_attention", "full_attention"] * 2
WINDOW = 6
"""Tokens; prompts and completions of the tests are longer."""

FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2": {"tie_word_embeddings": True},
    "qwen2 untied": {"tie_word_embeddings": False},
    "qwen2 sliding": {"use_sliding_window": True, "sliding_window": WINDOW, "layer_types": SLIDING},
    "qwen3": {"tie_word_embeddings": True},
    "llama": {"tie_word_embeddings": False},
    "llama tied": {"tie_word_embeddings": True},
    "mistral": {"sliding_window": WINDOW},
    "gemma": {},
    "gemma2": {"sliding_window": WINDOW, "final_logit_softcapping": 3.0, "attn_logit_softcapping": 5.0},
    "gemma3_text": {"sliding_window": WINDOW, "layer_types": SLIDING, "final_logit_softcapping": 2.0},
    "granite": {"logits_scaling": 4.0, "embedding_multiplier": 2.0},
    "cohere": {"logit_scale": 0.25},
    "cohere2": {"logit_scale": 0.25, "sliding_window": WINDOW, "layer_types": SLIDING},
    "phi3": {"sliding_window": WINDOW},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 256},
    "qwen3_next": {
        "layer_types": LINEAR,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "num_experts": 0,
    },
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
}
"""Configuration of each family, beside the common shape; the first word of a name is the model type."""


def random_policy(family: str, *, seed: int = 0) -> Policy:
    """A random model of a family with the byte-level tokenizer of :func:`make_policy`."""
    tokenizer = make_policy().tokenizer.hf
    config = transformers.AutoConfig.for_model(
        family.split()[0],
        **SHAPE | FAMILIES[family],
        vocab_size=len(tokenizer),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    speed_up_decoding(model)
    return Policy(model, ChatTokenizer(tokenizer, (tokenizer.eos_token_id,)))


TEXTS = ["ab", "a prompt that is longer than a window", "third"]


def sampled(policy, count=3):
    """Groups, and their rows in an order in which prompts alternate."""
    prompts = [prompt_of(policy, text, index=i) for i, text in enumerate(TEXTS)]
    seeds = [[sample_seed(text, g) for g in range(count)] for text in TEXTS]
    # Lengths differ, so rows leave the batch while others go on.
    limits = [Sampling(temperature=1.0, max_new_tokens=limit) for limit in (12, 20, 5)]
    found = dict(generate(policy, prompts, seeds, limits))
    rows = [(p, found[p].trajectories[g]) for g in range(count) for p in range(len(prompts))]
    return prompts, rows


CANNOT_SHARE = {"qwen3_next", "lfm2"}
