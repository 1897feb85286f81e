"""Train the lab's base model from scratch: ``python -m omnithinker.lab.build [--out DIR]``.

The build is seeded and deterministic: the same versions on the same machine give the same file hashes. ``SHA256SUMS``
beside the model holds the hashes; ``build.log`` holds settings, versions and losses.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import random
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from omnithinker import __version__
from omnithinker.lab import KINDS, MODEL_PATH
from omnithinker.lab.habits import HABITS, sample_completion
from omnithinker.lab.items import sample_item
from omnithinker.lab.tokenizer import END, TAGS, train_tokenizer

IGNORE = -100
"""Label of tokens that are not trained on."""
LEARNING_RATE = 2e-3
"""Peak learning rate of AdamW: linear warm-up over 5% of the tokens, then cosine decay to 5% of the peak."""
SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.05,
}
"""Model architecture."""


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Settings that determine the result, together with versions and machine."""

    seed: int = 0
    """Random seed of weights and text."""
    tokens: int = 8_000_000
    """Training budget: tokens of prompts and completions."""
    batch: int = 48
    """Sequences per batch."""
    pool: int = 2048
    """Sequences sampled at once and sorted by length, to reduce padding."""
    tokenizer_items: int = 20_000
    """Items in the tokenizer's training corpus."""
    threads: int = 1
    """CPU threads. Results depend on it in the last bits; more than one is slower on a busy machine."""


@dataclass(frozen=True, slots=True)
class Example:
    """One pre-training example."""

    prompt: str
    """User message."""
    completion: str
    """Target completion, without the end token."""


def sample_example(rng: random.Random) -> Example:
    """Sample an example: domain and kind uniformly, item from the training split, completion by habit."""
    domain = rng.choice(list(KINDS))
    kind = rng.choice(list(KINDS[domain]))
    item = sample_item(KINDS[domain][kind], "train", rng)
    return Example(item.row["prompt"], sample_completion(item, HABITS[domain][kind], rng))


def tokenizer_corpus(settings: BuildSettings) -> Iterator[str]:
    """Yield the tokenizer's training texts, without tags."""
    rng = random.Random(f"tokenizer/{settings.seed}")
    for _ in range(settings.tokenizer_items):
        example = sample_example(rng)
        yield f" {example.prompt}"
        yield from re.split("|".join(TAGS), example.completion)


def encode(examples: Sequence[Example], tokenizer: Qwen2Tokenizer) -> list[tuple[list[int], int]]:
    """Encode examples with the chat template. Return (token ids, number of prompt tokens) for each."""
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": example.prompt}], tokenize=False, add_generation_prompt=True
        )
        for example in examples
    ]
    completions = [example.completion + END for example in examples]
    prompt_ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    completion_ids = tokenizer(completions, add_special_tokens=False)["input_ids"]
    return [(p + c, len(p)) for p, c in zip(prompt_ids, completion_ids, strict=True)]


def batches(settings: BuildSettings, tokenizer: Qwen2Tokenizer) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches (input ids [B, T], labels [B, T]) forever; labels are :data:`IGNORE` outside completions."""
    rng = random.Random(f"text/{settings.seed}")
    while True:
        pool = encode([sample_example(rng) for _ in range(settings.pool)], tokenizer)
        pool.sort(key=lambda entry: len(entry[0]))
        chunks = [pool[i : i + settings.batch] for i in range(0, len(pool), settings.batch)]
        rng.shuffle(chunks)
        for chunk in chunks:
            width = len(chunk[-1][0])
            # Padding follows the text, so causal attention needs no mask.
            ids = torch.zeros(len(chunk), width, dtype=torch.long)
            labels = torch.full((len(chunk), width), IGNORE)
            for b, (tokens, start) in enumerate(chunk):
                ids[b, : len(tokens)] = torch.tensor(tokens)
                labels[b, start : len(tokens)] = ids[b, start : len(tokens)]
            yield ids, labels


def completion_loss(model: Any, ids_BT: Tensor, labels_BT: Tensor) -> Tensor:
    """Return the mean cross-entropy over completion tokens, nats. Computes logits only for these."""
    hidden_BTH = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
    targets_BT = labels_BT[:, 1:]
    scored_N = (targets_BT != IGNORE).flatten().nonzero().squeeze(1)
    hidden_NH = hidden_BTH[:, :-1].flatten(0, 1).index_select(0, scored_N)
    return F.cross_entropy(model.lm_head(hidden_NH), targets_BT.flatten()[scored_N])


def learning_rate(progress: float) -> float:
    """Return the learning rate at a training progress in [0, 1]."""
    if progress < 0.05:
        return LEARNING_RATE * max(progress, 0.001) / 0.05
    return LEARNING_RATE * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95)))


def new_model(tokenizer: Qwen2Tokenizer, seed: int) -> Qwen2ForCausalLM:
    """Create a model with random weights."""
    torch.manual_seed(seed)
    end = tokenizer.eos_token_id
    config = Qwen2Config(
        **SIZES,
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=tokenizer.pad_token_id)
    return model


def pretrain(model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, settings: BuildSettings, log: TextIO) -> None:
    """Pre-train on generated text. Writes a loss line per percent to ``log`` and progress to stderr."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    model.train()
    tokens_seen, reported, losses = 0, 0, list[float]()
    started = time.monotonic()
    for ids, labels in batches(settings, tokenizer):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(min(1.0, tokens_seen / settings.tokens))
        loss = completion_loss(model, ids, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens_seen += ids.numel()
        losses.append(loss.item())
        if tokens_seen * 100 >= (reported + 1) * settings.tokens:
            reported = tokens_seen * 100 // settings.tokens
            mean = sum(losses) / len(losses)
            losses.clear()
            log.write(f"tokens {tokens_seen} loss {mean:.4f}\n")
            speed = tokens_seen / (time.monotonic() - started)
            print(f"\r{reported:3d}%  loss {mean:.4f}  {speed:.0f} tokens/s", end="", file=sys.stderr, flush=True)
        if tokens_seen >= settings.tokens:
            break
    print(file=sys.stderr)
    model.eval()


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every model file in the format of ``sha256sum``."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def build(out: Path, settings: BuildSettings) -> None:
    """Train tokenizer and model, and write the model folder."""
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    tokenizer = train_tokenizer(tokenizer_corpus(settings))
    model = new_model(tokenizer, settings.seed)
    with (out / "build.log").open("w", encoding="utf-8", buffering=1) as log:
        versions = {
            "omnithinker": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        parameters = sum(parameter.numel() for parameter in model.parameters())
        for title, value in (
            ("settings", asdict(settings)),
            ("versions", versions),
            ("shape", {**SIZES, "vocab_size": len(tokenizer), "parameters": parameters}),
        ):
            log.write(f"{title} {json.dumps(value)}\n")
        pretrain(model, tokenizer, settings, log)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_checksums(out)


def main() -> None:
    """Run the command line."""
    defaults = BuildSettings()
    parser = argparse.ArgumentParser(prog="python -m omnithinker.lab.build", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=MODEL_PATH, help="output folder (default: the package's model folder)"
    )
    parser.add_argument("--tokens", type=int, default=defaults.tokens, help="training budget, tokens")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="random seed of weights and text")
    args = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    build(args.out, BuildSettings(seed=args.seed, tokens=args.tokens))


if __name__ == "__main__":
    main()
