"""Peak memory of scoring a completion, forward and backward: logits in blocks or all at once.

    python benchmarks/memory_scoring.py [--vocabulary 152000 --tokens 4096]

A random two-layer Qwen2 scores one completion, once per mode, each in its own process. The result is the rise of peak
resident memory during the pass; it excludes the weights and includes their gradients. Prints both peaks and their ratio
as JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from omnithinker.policy.base import Policy
from omnithinker.policy.logprobs import completion_logprobs, token_batch
from omnithinker.types import Prompt, Trajectory

PROMPT = tuple(range(10, 74))
MODES = ("plain", "blocks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=152_000, help="vocabulary size")
    parser.add_argument("--tokens", type=int, default=4096, help="completion length")
    parser.add_argument("--hidden", type=int, default=128, help="hidden size")
    parser.add_argument("--mode", choices=MODES, help="measure only this mode, in this process")
    args = parser.parse_args()
    if args.mode:
        print(json.dumps({"bytes": measure(args.mode, args.vocabulary, args.tokens, args.hidden)}))
        return
    shape = {name: getattr(args, name) for name in ("vocabulary", "tokens", "hidden")}
    options = [f"--{name}={value}" for name, value in shape.items()]
    peaks = {}
    for mode in MODES:
        command = [sys.executable, __file__, *options, f"--mode={mode}"]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[mode] = json.loads(out)["bytes"]
    mib = {f"{mode}_mib": round(value / 2**20) for mode, value in peaks.items()}
    print(json.dumps(shape | mib | {"plain_over_blocks": round(peaks["plain"] / peaks["blocks"], 1)}))


def measure(mode: str, vocabulary: int, tokens: int, hidden: int) -> int:
    """Return the rise of this process's peak memory in one forward and backward pass, bytes."""
    policy = random_policy(vocabulary, hidden)
    generator = torch.Generator().manual_seed(0)
    ids = tuple(torch.randint(vocabulary, (tokens,), generator=generator).tolist())
    prompt = Prompt(task="t", index=0, text="", token_ids=PROMPT)
    batch = token_batch([prompt], [(0, Trajectory(text="", token_ids=ids))], policy.device)
    before = resident()
    if mode == "blocks":
        logprob_BT = completion_logprobs(policy, batch)
    else:
        sequence = torch.tensor([[*PROMPT, *ids]])
        logits = policy.model(input_ids=sequence, use_cache=False).logits[:, len(PROMPT) - 1 : -1].float()
        logprob_BT = logits.log_softmax(dim=-1).gather(2, batch.ids_BT[:, :, None]).squeeze(2)
        del logits
    logprob_BT.mean().backward()
    return peak() - before


def random_policy(vocabulary: int, hidden: int) -> Policy:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    tokenizer: Any = None  # not used
    return Policy(Qwen2ForCausalLM(config).eval(), tokenizer)


def resident() -> int:
    """Return the current resident memory of this process, bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    """Return the peak resident memory of this process, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
