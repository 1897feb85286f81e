"""Number formats of matrix products on this machine's CPU: speed and agreement, on the lab's model.

``python benchmarks/number_formats.py``: float32 and bfloat16 take turns; a turn samples 16 x 8 completions and computes
the gradient of their log-probabilities. Prints median processor seconds of a turn, and the largest and mean difference
between the generator's and the trainer's log-probabilities, as JSON.
"""

from __future__ import annotations

import json
import statistics
import time

import torch

from omnithinker.config.model import ModelSettings
from omnithinker.policy.base import Policy
from omnithinker.policy.loading import load_policy
from omnithinker.policy.logprobs import completion_logprobs, token_batch
from omnithinker.rollout.native import Sampling, generate, sample_seed
from omnithinker.types import Prompt

ROUNDS = 5


def main() -> None:
    policies = {
        compute: load_policy(ModelSettings(device="cpu", compute=compute, threads=1))
        for compute in ("float32", "bfloat16")
    }
    turns: dict[str, list[tuple[float, float, float]]] = {compute: [] for compute in policies}
    for _ in range(ROUNDS):
        for compute, policy in policies.items():
            turns[compute].append(turn(policy))
    for compute, found in turns.items():
        seconds, largest, mean = (statistics.median(column) for column in zip(*found, strict=True))
        print(
            json.dumps(
                {
                    "compute": compute,
                    "cpu_seconds": round(seconds, 2),
                    "largest_difference": round(largest, 6),
                    "mean_difference": round(mean, 6),
                }
            )
        )


def turn(policy: Policy) -> tuple[float, float, float]:
    """Processor seconds, and the largest and mean difference of log-probabilities."""
    texts = [f"What is {a} + {a + 3}?" for a in range(16)]
    prompts = [
        Prompt(task="t", index=a, text=text, token_ids=policy.tokenizer.encode(text)) for a, text in enumerate(texts)
    ]
    seeds = [[sample_seed(a, g) for g in range(8)] for a in range(16)]
    started = time.process_time()
    groups = dict(generate(policy, prompts, seeds, [Sampling(temperature=1.0, max_new_tokens=48)] * 16))
    rows = [(p, completion) for p in range(16) for completion in groups[p].trajectories]
    batch = token_batch(prompts, rows, policy.device)
    logprob_BT = completion_logprobs(policy, batch)
    logprob_BT.sum().backward()
    seconds = time.process_time() - started
    recorded = torch.tensor([x for _, completion in rows for x in completion.logprobs])
    difference = (logprob_BT.detach()[batch.mask_BT] - recorded).abs()
    return seconds, float(difference.max()), float(difference.mean())


if __name__ == "__main__":
    main()
