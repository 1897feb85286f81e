"""The memory estimate: every part equals numbers worked by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from omnithinker.checks.memory import Load, ModelSize, estimate, microbatch, model_size, readable
from omnithinker.rollout.compiled import fixed_length

SIZE = ModelSize(
    parameters=1000,
    adapter=100,
    trained=800,
    trains_head=True,
    layers=2,
    hidden=8,
    intermediate=16,
    attention=12,
    keys=6,
    vocabulary=50,
    bytes_per_weight=4,
)
LOAD = Load(
    prompts=2,
    rows=6,
    rows_at_once=3,
    prompt_tokens=5,
    new_tokens=7,
    minibatches=1,
    microbatch_tokens=10_000,
    logits_at_once=10_000,
)


def test_parts_by_hand():
    assert estimate(SIZE, LOAD) == {
        "base": 4000,
        "weights": 4400,
        "gradients": 3200,
        "optimizer": 6400,
        "kv_cache": 3 * 12 * (2 * 6) * 3 * 4,  # rows at once x tokens x keys and values x (layers + 1) x bytes
        "sampling": 3 * 50 * 4 * 6,
        "bfloat16_weights": 0,
        # 2 prompts of 5 and 6 completions of 7; 2 layers of 6 x 8 + 5 x 12 + 4 x 16, and prompts repeated for 6 rows
        "activations": 2 * (52 * 172 + 30 * 24) * 4,
        "logits": 52 * 50 * 4 * 4 + 2 * 50 * 8 * 4,
        "checkpoint": 3 * 800 * 4,  # trained weights and two moments, copied; not in the peak
        "peak": 4000 + 4400 + 3200 + 6400 + 2 * (52 * 172 + 30 * 24) * 4 + 52 * 50 * 4 * 4 + 2 * 50 * 8 * 4,
    }


def test_generation_can_be_the_peak():
    parts = estimate(SIZE, replace(LOAD, microbatch_tokens=1, logits_at_once=1))
    assert parts["activations"] == 1 * 2 * 172 * 4
    assert parts["logits"] == 1 * 4 * 4 + 2 * 50 * 8 * 4
    assert parts["peak"] == 18_000 + parts["kv_cache"] + parts["sampling"]


def test_products_in_bfloat16_add_a_copy_of_the_weights():
    plain, narrow = (
        estimate(SIZE, replace(LOAD, microbatch_tokens=1, logits_at_once=1, bfloat16=on)) for on in (False, True)
    )
    assert narrow["bfloat16_weights"] == 1000 * 2
    assert narrow["peak"] == plain["peak"] + 2000


@pytest.mark.parametrize(("minibatches", "tokens"), [(1, 52), (2, 26), (4, 19)])
def test_a_microbatch_is_no_larger_than_a_minibatch(minibatches, tokens):
    assert microbatch(replace(LOAD, minibatches=minibatches)) == tokens


def test_half_precision_halves_all_but_logits_and_what_training_adds():
    full, half = estimate(SIZE, LOAD), estimate(replace(SIZE, bytes_per_weight=2), LOAD)
    for part in ("base", "kv_cache", "activations"):
        assert 2 * half[part] == full[part]
    for part in ("gradients", "optimizer", "logits"):
        assert half[part] == full[part]


def test_gradient_checkpointing():
    parts = estimate(SIZE, replace(LOAD, checkpointing=True))
    assert parts["activations"] == (52 * 2 * 8 + 52 * 172 + 30 * 24) * 4


def test_compiled_decoding_keeps_its_cache_while_weights_are_updated():
    plain, compiled = estimate(SIZE, LOAD), estimate(SIZE, replace(LOAD, compiled=True))
    assert compiled["kv_cache"] == 3 * 64 * (2 * 6) * 3 * 4  # room for 64 tokens, of which 12 are used
    assert compiled["peak"] == plain["peak"] + compiled["kv_cache"]


@pytest.mark.parametrize(("tokens", "length"), [(1, 64), (64, 64), (65, 96), (97, 128), (129, 192), (1537, 2048)])
def test_lengths_of_buffers_of_fixed_shape(tokens, length):
    assert fixed_length(tokens) == length


def test_sizes_are_read_from_a_configuration():
    config = SimpleNamespace(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        vocab_size=1000,
    )
    rest = {"parameters": 10, "adapter": 0, "trained": 5, "trains_head": False, "bytes_per_weight": 2}
    size = model_size(config, **rest)
    assert (size.attention, size.keys, size.layers, size.trained, size.bytes_per_weight) == (128, 64, 3, 5, 2)
    plain = SimpleNamespace(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, vocab_size=1000)
    size = model_size(plain, **rest)
    assert (size.attention, size.keys, size.intermediate) == (64, 64, 256)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 * 2**30, "3.0 GiB"), (2**41, "2.0 TiB")]
)
def test_readable(value, text):
    assert readable(value) == text
