"""Estimate of the memory that training takes, from sizes alone: no model is loaded.

H hidden size, I intermediate size, L layers, V vocabulary, A = heads x head size, C = key-value heads x head size.
Everything is in bytes. Weights, gradients and optimizer are exact. Activations and logits follow what the trainer and
the native generator keep; ``benchmarks/memory.py`` compares them with measured peaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omnithinker.rollout.compiled import fixed_length

FLOAT32 = 4
"""Bytes of a float32 number, the format of trained weights and of logits that become probabilities."""
BFLOAT16 = 2
"""Bytes of a bfloat16 number."""
SAMPLING_COPIES = 6
"""Arrays [rows, V] alive while a token is sampled: logits, log-probabilities, and the entropy's terms."""
LOSS_COPIES = 4
"""Arrays of the size of a block of logits alive in its backward pass."""
HEAD_COPIES = 2
"""Gradients of the output embedding [V, H] alive before they are accumulated."""
PERSISTENT = ("base", "weights", "gradients", "optimizer")
"""Parts that are allocated for the whole run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """Sizes of a decoder."""

    parameters: int
    """Weights of the base model; tied ones count once."""
    adapter: int
    """Weights of the adapter; 0 without one."""
    trained: int
    """Weights with a gradient, including an adapter's."""
    trains_head: bool
    """True if the output embedding has a gradient."""
    layers: int
    """L."""
    hidden: int
    """H."""
    intermediate: int
    """I."""
    attention: int
    """A, width of queries and of the attention output."""
    keys: int
    """C, width of keys and of values."""
    vocabulary: int
    """V."""
    bytes_per_weight: int
    """4 for float32, 2 for bfloat16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Size of a training step."""

    prompts: int
    """P."""
    rows: int
    """P x G."""
    rows_at_once: int
    """Rows that are decoded at once."""
    prompt_tokens: int
    """Tokens of the longest prompt."""
    new_tokens: int
    """Tokens of the longest completion."""
    minibatches: int
    """Optimizer updates per step."""
    microbatch_tokens: int
    """Most tokens in one forward and backward pass."""
    logits_at_once: int
    """Most logits in a block."""
    checkpointing: bool = False
    """True if layers are recomputed in the backward pass."""
    compiled: bool = False
    """True if the decoding step is compiled."""
    bfloat16: bool = False
    """True if matrix products use bfloat16 copies of the weights."""


def model_size(
    config: Any, *, parameters: int, adapter: int, trained: int, trains_head: bool, bytes_per_weight: int
) -> ModelSize:
    """Read sizes from a decoder's transformers text configuration; missing fields take their usual defaults."""
    hidden, heads = config.hidden_size, config.num_attention_heads
    head = getattr(config, "head_dim", None) or hidden // heads
    return ModelSize(
        parameters=parameters,
        adapter=adapter,
        trained=trained,
        trains_head=trains_head,
        layers=config.num_hidden_layers,
        hidden=hidden,
        intermediate=getattr(config, "intermediate_size", None) or 4 * hidden,
        attention=heads * head,
        keys=(getattr(config, "num_key_value_heads", None) or heads) * head,
        vocabulary=config.vocab_size,
        bytes_per_weight=bytes_per_weight,
    )


def estimate(size: ModelSize, load: Load) -> dict[str, int]:
    """Return bytes by part, and ``peak``: persistent parts plus the larger of generation and update.

    Persistent: ``base`` (the frozen base model, loaded once for evaluation and as the reference policy), ``weights``
    (of the policy), ``gradients``, ``optimizer`` (two moments). During generation, with completions of the largest
    length: ``kv_cache`` and ``sampling``. During an update: ``activations`` and ``logits``. During either:
    ``bfloat16_weights`` (copies for matrix products). With compiled decoding ``kv_cache`` is persistent too.
    ``checkpoint``, the copy from which a checkpoint is written, is in the CPU's memory and not part of the peak:
    without memory for it, training waits for the write instead.
    """
    width = size.bytes_per_weight
    parts = {
        "base": size.parameters * width,
        "weights": size.parameters * width + size.adapter * FLOAT32,
        "gradients": size.trained * FLOAT32,
        "optimizer": 2 * size.trained * FLOAT32,
        "kv_cache": kv_cache(size, load),
        "sampling": load.rows_at_once * size.vocabulary * FLOAT32 * SAMPLING_COPIES,
        "bfloat16_weights": size.parameters * BFLOAT16 if load.bfloat16 else 0,
        "activations": activations(size, load),
        "logits": logits(size, load),
        "checkpoint": 3 * size.trained * FLOAT32,
    }
    persistent = sum(parts[name] for name in PERSISTENT)
    generation = parts["kv_cache"] + parts["sampling"]
    update = parts["activations"] + parts["logits"]
    if load.compiled:
        update += parts["kv_cache"]
    return parts | {"peak": persistent + parts["bfloat16_weights"] + max(generation, update)}


def kv_cache(size: ModelSize, load: Load) -> int:
    """Return the bytes of keys and values of the rows decoded at once; one layer exists twice while it is copied."""
    longest = load.prompt_tokens + load.new_tokens
    tokens = load.rows_at_once * (fixed_length(longest) if load.compiled else longest)
    return tokens * 2 * size.keys * (size.layers + 1) * size.bytes_per_weight


def microbatch(load: Load) -> int:
    """Return the tokens of the largest micro-batch: the limit, or a whole minibatch if that is smaller."""
    prompts, rows = -(-load.prompts // load.minibatches), -(-load.rows // load.minibatches)
    return min(load.microbatch_tokens, prompts * load.prompt_tokens + rows * load.new_tokens)


def activations(size: ModelSize, load: Load) -> int:
    """Return the bytes that the forward pass of a micro-batch keeps for its backward pass.

    Per token and layer: 6 H (two norms: input, normalized, output), 5 A (queries; keys and values repeated per head;
    attention output before and after its projection) and 4 I (gate, its activation, up, their product). Keys and values
    of a shared prompt are repeated for each of its rows: 2 A per row, prompt token and layer. With gradient
    checkpointing: H per token and layer, and one layer in full. Attention matrices are not kept. Some
    models keep less on a CPU, see :mod:`omnithinker.policy.lean`.
    """
    tokens = microbatch(load)
    shared = min(load.rows, tokens // load.new_tokens) * load.prompt_tokens
    layer = tokens * (6 * size.hidden + 5 * size.attention + 4 * size.intermediate) + shared * 2 * size.attention
    kept = tokens * size.layers * size.hidden + layer if load.checkpointing else size.layers * layer
    return kept * size.bytes_per_weight


def logits(size: ModelSize, load: Load) -> int:
    """Return the bytes of one block of logits in its backward pass, and of gradients of the output embedding."""
    block = min(load.logits_at_once, microbatch(load) * size.vocabulary) * FLOAT32 * LOSS_COPIES
    return block + (HEAD_COPIES * size.vocabulary * size.hidden * FLOAT32 if size.trains_head else 0)


def readable(value: float) -> str:
    """Format a number of bytes in the largest unit of which there is at least one."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
