"""A tiny random policy, its prompts and completions."""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType

import torch

from omnithinker.config.model import ModelSettings
from omnithinker.policy.base import Policy
from omnithinker.policy.tokenizer import ChatTokenizer
from omnithinker.rollout.native import NativeGenerator
from omnithinker.types import Prompt, Trajectory

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>{% endif %}"
)


def make_policy(*, vocabulary: int = 261, dtype: torch.dtype = torch.float32) -> Policy:
    """A random two-layer Qwen2 with a byte-level tokenizer; the same one at every call."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )
    fast.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=max(vocabulary, len(fast)),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        eos_token_id=fast.eos_token_id,
        bos_token_id=None,
        pad_token_id=fast.pad_token_id,
        initializer_range=0.3,
    )
    model = Qwen2ForCausalLM(config).to(dtype).eval()
    if dtype == torch.float64:
        # transformers' RMSNorm computes in float32 whatever its input; exact comparisons need all of it in float64.
        for norm in (m for m in model.modules() if type(m).__name__ == "Qwen2RMSNorm"):
            norm.forward = MethodType(_norm_in_float64, norm)
    return Policy(model, ChatTokenizer(fast, (fast.eos_token_id,)))


def compute_in_float64(monkeypatch):
    """Make every Qwen2 compute in the format of its weights, without the parts that transformers does in float32."""
    from transformers.models.qwen2 import modeling_qwen2

    monkeypatch.setattr(modeling_qwen2.Qwen2RMSNorm, "forward", _norm_in_float64)
    monkeypatch.setattr(modeling_qwen2.Qwen2RotaryEmbedding, "forward", _rotary_in_float64)


def _norm_in_float64(norm, hidden):
    return norm.weight * hidden * torch.rsqrt(hidden.square().mean(-1, keepdim=True) + norm.variance_epsilon)


def _rotary_in_float64(rotary, hidden, position_ids):
    angles = position_ids[..., None].double() * rotary.inv_freq.double()
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(hidden.dtype), angles.sin().to(hidden.dtype)


def prompt_of(policy: Policy, text: str, task: str = "math", index: int = 0, **row: object) -> Prompt:
    """A prompt with tokens."""
    return Prompt(task=task, index=index, text=text, token_ids=policy.tokenizer.encode(text), row=row)


def generate(policy, prompts, seeds_PG, sampling_P, **settings):
    """Groups of the native generator, in order of completion."""
    return NativeGenerator(policy, **settings).generate(prompts, seeds_PG, sampling_P)


def completion_of(token_ids: Sequence[int], text: str = "") -> Trajectory:
    """A completion with given tokens."""
    return Trajectory(text=text, token_ids=tuple(token_ids))


LORA = {"lora": {"rank": 4, "alpha": 8}}


def settings_of(folder, **settings) -> ModelSettings:
    return ModelSettings.model_validate({"path": str(folder), "device": "cpu"} | settings)
