"""The lab model's tokenizer: byte-level BPE with single digits, trained on the lab's own text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

VOCABULARY = 1280
"""Maximum vocabulary size, including special and added tokens."""
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
"""Added tokens that are not special, so decoding keeps them."""
CHAT_TEMPLATE = (
    "{%- for message in messages -%}<|im_start|>"
    "{%- if message['role'] != 'assistant' %} {% endif -%}{{ message['content'] }}<|im_end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>{%- endif -%}"
)
"""Chat template, minimal because every prompt token costs time."""


def train_tokenizer(texts: Iterable[str]) -> Qwen2Tokenizer:
    """Train the tokenizer on texts without special tokens and tags. Deterministic.

    The pre-tokenizer is that of Qwen2, because some loaders choose Qwen2's tokenizer class by the model's architecture
    and ignore the tokenizer's own files.
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
    # The BPE model takes pairs; the annotation of the class allows only strings.
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
