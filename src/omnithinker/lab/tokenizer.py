"""The lab model's tokenizer: byte-level BPE with single digits, trained on the lab's own text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

VOCABULARY = 1280
"""Tokens at most, special and added ones included."""
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
"""Ordinary added tokens, so that decoding keeps them."""
CHAT_TEMPLATE = (
    "{%- for message in messages -%}<|im_start|>"
    "{%- if message['role'] != 'assistant' %} {% endif -%}{{ message['content'] }}<|im_end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>{%- endif -%}"
)
"""As short as can be: every prompt token costs time."""


def train_tokenizer(texts: Iterable[str]) -> Qwen2Tokenizer:
    """Train the tokenizer on texts without special tokens and tags; deterministic.

    Text is cut up before merging exactly as Qwen2's tokenizer does it, because loaders choose that class by the
    model's architecture, whatever the tokenizer's own files say.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(TAGS),
        special_tokens=[END_OF_TEXT, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    # Pairs, as the BPE model takes them; the annotation of the class knows strings only.
    merges: Any = [tuple(pair) for pair in model["merges"]]
    trained = Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=merges,
        eos_token=END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[START],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
    trained.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in TAGS])
    trained.chat_template = CHAT_TEMPLATE
    return trained
