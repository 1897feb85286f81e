"""How much memory training will take, from numbers alone: no model is loaded.

H hidden size, I intermediate size, L layers, V vocabulary, A = heads x head size, C = key-value heads x head size.
Everything is in bytes. The parts that last are exact; activations and logits follow what the trainer and the native
generator keep, and are compared with measured peaks by ``benchmarks/memory.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omnithinker.rollout.compiled import fixed_length

FLOAT32 = 4
"""Bytes of a float32 number. Trained weights are always that, and logits are turned into probabilities in it."""
DRAWING_COPIES = 6
"""Arrays [rows, V] that exist while a token is drawn: logits, log-probabilities, and the entropy's terms."""
SCORING_COPIES = 6
"""Arrays of the size of a chunk of logits that exist in its backward pass."""
HEAD_COPIES = 2
"""Gradients of the output embedding [V, H] that exist before they are added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """What the estimate needs to know of a decoder."""

    parameters: int
    """Weights of the base model, tied ones counted once."""
    adapter: int
    """Weights of an adapter; 0 without one."""
    trained: int
    """Weights with a gradient, an adapter's included."""
    trains_head: bool
    """Whether the output embedding has a gradient."""
    layers: int
    """L."""
    hidden: int
    """H."""
    intermediate: int
    """I."""
    attention: int
    """A, width of queries and of the attention's output."""
    keys: int
    """C, width of keys, and of values."""
    vocabulary: int
    """V."""
    bytes_per_weight: int
    """4 for float32, 2 for bfloat16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a training step does with the model."""

    prompts: int
    """P."""
    rows: int
    """P x G."""
    rows_at_once: int
    """Of these, as many as are drawn at once."""
    prompt_tokens: int
    """Of the longest prompt."""
    new_tokens: int
    """Of the longest completion."""
    minibatches: int
    """Updates per step."""
    microbatch_tokens: int
    """Most tokens in one forward and backward pass."""
    logits_at_once: int
    """Most numbers in a chunk of logits."""
    reference: bool
    """Whether a frozen copy of the model is kept."""
    checkpointing: bool = False
    """Whether activations inside a layer are computed again in the backward pass."""
    compiled: bool = False
    """Whether the step that decodes a token is compiled."""


def model_size(
    config: Any, *, parameters: int, adapter: int, trained: int, trains_head: bool, bytes_per_weight: int
) -> ModelSize:
    """Read widths from a transformers text configuration, of any decoder; missing fields have the usual meaning."""
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
    """Bytes by part, and ``peak``: what lasts, plus the larger of generation and update.

    Parts that last: ``base`` (the model that training started from, kept for measuring), ``weights`` (of the policy),
    ``gradients``, ``optimizer`` (two moments), ``reference``. While generating: ``kv_cache`` and ``drawing``, if every
    completion is as long as it may be. While updating: ``activations`` and ``logits``. Where decoding is compiled,
    ``kv_cache`` lasts.
    """
    width = size.bytes_per_weight
    parts = {
        "base": size.parameters * width,
        "weights": size.parameters * width + size.adapter * FLOAT32,
        "gradients": size.trained * FLOAT32,
        "optimizer": 2 * size.trained * FLOAT32,
        "reference": size.parameters * width if load.reference else 0,
        "kv_cache": kv_cache(size, load),
        "drawing": load.rows_at_once * size.vocabulary * FLOAT32 * DRAWING_COPIES,
        "activations": activations(size, load),
        "logits": logits(size, load),
    }
    lasting = sum(parts[name] for name in ("base", "weights", "gradients", "optimizer", "reference"))
    generating, updating = parts["kv_cache"] + parts["drawing"], parts["activations"] + parts["logits"]
    if load.compiled:
        updating += parts["kv_cache"]
    return parts | {"peak": lasting + max(generating, updating)}


def kv_cache(size: ModelSize, load: Load) -> int:
    """Keys and values of the rows drawn at once, at full length; one layer exists twice while it is copied."""
    longest = load.prompt_tokens + load.new_tokens
    tokens = load.rows_at_once * (fixed_length(longest) if load.compiled else longest)
    return tokens * 2 * size.keys * (size.layers + 1) * size.bytes_per_weight


def microbatch(load: Load) -> int:
    """Tokens in the largest micro-batch: the budget, or all of a minibatch where that is less."""
    prompts, rows = -(-load.prompts // load.minibatches), -(-load.rows // load.minibatches)
    return min(load.microbatch_tokens, prompts * load.prompt_tokens + rows * load.new_tokens)


def activations(size: ModelSize, load: Load) -> int:
    """What the forward pass keeps for the backward pass of a micro-batch.

    Per token and layer: 6 H (two norms: input, normalised, output), 5 A (queries, keys and values repeated for every
    head, output of attention before and after its heads are joined) and 4 I (gate, its activation, up, their product).
    Keys and values of a shared prompt are repeated for each of its rows: 2 A per row, prompt token and layer. With
    checkpointing H per token and layer, and one layer in full. Attention matrices are not kept.
    """
    tokens = microbatch(load)
    shared = min(load.rows, tokens // load.new_tokens) * load.prompt_tokens
    layer = tokens * (6 * size.hidden + 5 * size.attention + 4 * size.intermediate) + shared * 2 * size.attention
    kept = tokens * size.layers * size.hidden + layer if load.checkpointing else size.layers * layer
    return kept * size.bytes_per_weight


def logits(size: ModelSize, load: Load) -> int:
    """One chunk of logits with what its backward pass needs, and what it leaves for the output embedding."""
    chunk = min(load.logits_at_once, microbatch(load) * size.vocabulary) * FLOAT32 * SCORING_COPIES
    return chunk + (HEAD_COPIES * size.vocabulary * size.hidden * FLOAT32 if size.trains_head else 0)


def readable(value: float) -> str:
    """A number of bytes in the largest unit that leaves it at least 1."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
