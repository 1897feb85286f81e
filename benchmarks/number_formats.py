"""Number formats of matrix products on this machine's CPU: speed and numerical agreement, on the lab's model.

    python benchmarks/number_formats.py

float32 and bfloat16 alternate. Each round samples 16 x 8 completions and computes the gradient of their
log-probabilities. Prints as JSON the median CPU time per round, and the maximum and mean difference between the
log-probabilities of generator and trainer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from omnithinker.config.model import ModelSettings
from omnithinker.policy.base import Policy
from omnithinker.policy.loading import load_policy
from omnithinker.policy.logprobs import completion_logprobs, token_batch
from omnithinker.rollout.base import Sampling, sample_seed
from omnithinker.rollout.native import NativeGenerator
from omnithinker.types import Prompt

ROUNDS = 5


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    policies = {
        compute: load_policy(ModelSettings(device="cpu", compute=compute, threads=1))
        for compute in ("float32", "bfloat16")
    }
    rounds: dict[str, list[tuple[float, float, float]]] = {compute: [] for compute in policies}
    for _ in range(ROUNDS):
        for compute, policy in policies.items():
            rounds[compute].append(measure(policy))
    for compute, results in rounds.items():
        seconds, largest, mean = (statistics.median(column) for column in zip(*results, strict=True))
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


def measure(policy: Policy) -> tuple[float, float, float]:
    """Run a round. Return CPU seconds, and the maximum and mean difference of log-probabilities."""
    texts = [f"What is {a} + {a + 3}?" for a in range(16)]
    prompts = [
        Prompt(task="t", index=a, text=text, token_ids=policy.tokenizer.encode(text)) for a, text in enumerate(texts)
    ]
    seeds = [[sample_seed(a, g) for g in range(8)] for a in range(16)]
    started = time.process_time()
    groups = dict(NativeGenerator(policy).generate(prompts, seeds, [Sampling(temperature=1.0, max_new_tokens=48)] * 16))
    rows = [(p, completion) for p in range(16) for completion in groups[p].trajectories]
    batch = token_batch(prompts, rows, policy.device)
    logprob_BT = completion_logprobs(policy, batch)
    logprob_BT.sum().backward()
    seconds = time.process_time() - started
    recorded = torch.tensor([x for _, completion in rows for x in completion.logprobs])
    difference = (logprob_BT.detach()[batch.action_mask_BT] - recorded).abs()
    return seconds, float(difference.max()), float(difference.mean())


if __name__ == "__main__":
    main()
