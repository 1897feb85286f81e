"""The least a step of ours can take: its matrix products at the rate this machine does them, and where the rest goes.

Counted are the products of weights and activations that the step cannot do without: a prompt once per group, completion
tokens once, forward only while generating, forward and backward (three times as much) for the completions that have a
gradient. Attention over keys is left out: at these lengths it is a few percent.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from omnithinker.policy.base import Policy
from omnithinker.train.batching import Part, Row, advantages, part_of
from omnithinker.train.setup import make_optimizer, set_learning_rate
from omnithinker.train.trainer import gradient, rollout, sample_seeds
from omnithinker.types import RolloutGroup
from step_cases import COMPLETIONS, Case

REPEATS = 3


def report(case: Case, policy: Policy) -> None:
    """Print our time over the floor for generation and training, and the operations that take most CPU time."""
    rate = matmul_rate()
    print(f"matrix products: {rate / 1e9:.0f} GFLOP/s in float32")
    optimizer = make_optimizer(policy, case.recipe)
    set_learning_rate(optimizer, case.recipe, 0)
    generate(case, policy, 0)
    for step in range(min(REPEATS, len(case.schedule))):
        started = time.perf_counter()
        groups = generate(case, policy, step)
        generated = time.perf_counter()
        parts = parts_of(case, groups)
        rows = [row for part in parts for row in part.rows]
        gradient(policy, None, parts, case.recipe, case.recipe.training.microbatch_tokens)
        torch.nn.utils.clip_grad_norm_(policy.trained, case.recipe.training.max_grad_norm)
        optimizer.step()
        trained = time.perf_counter()
        for name, seconds, floor in (
            ("generate", generated - started, generation_flops(policy, groups) / rate),
            ("train", trained - generated, training_flops(policy, rows) / rate),
        ):
            print(f"{name:8s} {seconds:7.3f} s   floor {floor:6.3f} s   {seconds / floor:5.1f} x floor")
    table("generate", lambda: generate(case, policy, 0))
    table("train", lambda: gradient(policy, None, parts, case.recipe, case.recipe.training.microbatch_tokens))


def generate(case: Case, policy: Policy, step: int) -> list[RolloutGroup]:
    """One rollout with its rewards."""
    batch = case.schedule[step]
    prompts = [case.prompts[item.task][item.index] for item in batch]
    return rollout(policy, prompts, sample_seeds(batch, case.recipe, 0, step), case.recipe, case.scorer).groups()


def parts_of(case: Case, groups: Sequence[RolloutGroup]) -> list[Part]:
    return [part_of(group, advantages([group], case.recipe)[0], case.recipe) for group in groups]


def matmul_rate() -> float:
    """Floating point operations per second of float32 products, the best of several tries."""
    best = 0.0
    for rows, inner, columns in ((1024, 1024, 1024), (2048, 512, 512)):
        left, right = torch.randn(rows, inner), torch.randn(inner, columns)
        for _ in range(20):
            started = time.perf_counter()
            left @ right
            best = max(best, 2 * rows * inner * columns / (time.perf_counter() - started))
    return best


def layer_weights(policy: Policy) -> int:
    """Weights of the matrices between embedding and output."""
    embedding = policy.model.get_input_embeddings().weight
    return sum(p.numel() for p in policy.model.parameters() if p.dim() == 2 and p.shape != embedding.shape)


def head_weights(policy: Policy) -> int:
    return int(policy.model.get_output_embeddings().weight.numel())


def generation_flops(policy: Policy, groups: Sequence[RolloutGroup]) -> float:
    """Prompts once, every token but the last once; the output embedding for every token drawn."""
    prompts = sum(len(group.prompt.token_ids) for group in groups)
    drawn = sum(len(c.token_ids) for group in groups for c in group.trajectories)
    inputs = prompts + drawn - len(groups) * COMPLETIONS
    return 2.0 * (layer_weights(policy) * inputs + head_weights(policy) * drawn)


def training_flops(policy: Policy, rows: Sequence[Row]) -> float:
    """As for generation, of completions with an advantage, forward and backward."""
    active = [row for row in rows if row.advantage != 0]
    prompts = sum({id(row.prompt): len(row.prompt.token_ids) for row in active}.values())
    drawn = sum(len(row.completion.token_ids) for row in active)
    return 6.0 * (layer_weights(policy) * (prompts + drawn - len(active)) + head_weights(policy) * drawn)


def table(name: str, work: Any) -> None:
    """The ten operations with most CPU time of their own."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    events = found.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    print(f"{name}: {total / 1e6:.3f} s under the profiler")
    for event in sorted(events, key=lambda event: -event.self_cpu_time_total)[:12]:
        print(f"  {event.self_cpu_time_total / total:6.1%}  {event.count:6d} x  {event.key}")
