"""Peak memory of scoring completions, forward and backward: in chunks against all logits at once.

``python benchmarks/memory_scoring.py [--vocabulary 152000 --tokens 4096]``: a random two-layer Qwen2 scores one
completion.
Each way runs in a process of its own; what counts is the peak of resident memory above what was there before the pass,
weights excluded and the gradients of the weights included. Prints both peaks and their ratio as JSON.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=152_000)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--way", choices=("plain", "chunks"), help="one of the two, in this process")
    args = parser.parse_args()
    if args.way:
        print(json.dumps({"bytes": measure(args.way, args.vocabulary, args.tokens, args.hidden)}))
        return
    shape = {name: getattr(args, name) for name in ("vocabulary", "tokens", "hidden")}
    options = [f"--{name}={value}" for name, value in shape.items()]
    found = {}
    for way in ("plain", "chunks"):
        command = [sys.executable, __file__, *options, f"--way={way}"]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[way] = json.loads(out)["bytes"]
    mib = {f"{way}_mib": round(value / 2**20) for way, value in found.items()}
    print(json.dumps(shape | mib | {"plain_over_chunks": round(found["plain"] / found["chunks"], 1)}))


def measure(way: str, vocabulary: int, tokens: int, hidden: int) -> int:
    """Bytes by which the process's peak rises in one forward and backward pass."""
    policy = random_policy(vocabulary, hidden)
    generator = torch.Generator().manual_seed(0)
    ids = tuple(torch.randint(vocabulary, (tokens,), generator=generator).tolist())
    prompt = Prompt(task="t", index=0, text="", token_ids=PROMPT)
    batch = token_batch([prompt], [(0, Trajectory(text="", token_ids=ids))], policy.device)
    before = resident()
    if way == "chunks":
        logprob_BT = completion_logprobs(policy, batch)
    else:
        whole = torch.tensor([[*PROMPT, *ids]])
        logits = policy.model(input_ids=whole, use_cache=False).logits[:, len(PROMPT) - 1 : -1].float()
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
    tokenizer: Any = None  # nothing is encoded here
    return Policy(Qwen2ForCausalLM(config).eval(), tokenizer)


def resident() -> int:
    """Resident memory of this process now, bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    """Highest resident memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
