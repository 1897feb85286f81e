"""Lower bound of a training step's time, and a profile of the operations above it.

The bound is the time of the unavoidable products of weights and activations at this machine's measured rate: each
prompt once per group, each completion token once; forward only in generation, forward and backward (three times as
much) in training, for completions with a gradient. It omits attention over keys, a few percent at these lengths. For
generation, it is the time of reading all weights once per token if that is longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch.profiler import ProfilerActivity, profile

from omnithinker.policy.base import Policy
from omnithinker.rollout.base import Sampling, make_generator
from omnithinker.train.advantages import group_advantages
from omnithinker.train.batching import GroupSamples, Sample, group_samples, rewards_tensor
from omnithinker.train.setup import make_optimizer, set_learning_rate
from omnithinker.train.trainer import compute_gradient, sample_seeds
from omnithinker.types import RolloutGroup
from step_cases import COMPLETIONS, Case

REPEATS = 3


def report(case: Case, policy: Policy) -> None:
    """Print the time of generation and training relative to the bound, and the most expensive operations."""
    dtype = torch.bfloat16 if policy.bfloat16 else torch.float32
    rate, bandwidth = matmul_rate(dtype), memory_bandwidth()
    print(f"matrix products: {rate / 1e9:.0f} GFLOP/s in {dtype}; memory: {bandwidth / 1e9:.1f} GB/s read")
    optimizer = make_optimizer(policy, case.recipe.training)
    set_learning_rate(optimizer, case.recipe, 0)
    generate(case, policy, 0)
    for step in range(min(REPEATS, len(case.schedule))):
        started = time.perf_counter()
        groups = generate(case, policy, step)
        generated = time.perf_counter()
        batch = samples_of(case, groups)
        samples = [sample for group in batch for sample in group.samples]
        compute_gradient(policy, None, batch, case.recipe, case.recipe.training.microbatch_tokens)
        torch.nn.utils.clip_grad_norm_(policy.trained, case.recipe.training.max_grad_norm)
        optimizer.step()
        trained = time.perf_counter()
        for name, seconds, floor in (
            (
                "generate",
                generated - started,
                max(generation_flops(policy, groups) / rate, generation_bytes(policy, groups, dtype) / bandwidth),
            ),
            ("train", trained - generated, training_flops(policy, samples) / rate),
        ):
            share = f"{seconds / floor:5.1f} x floor" if floor else "no group has variance"
            print(f"{name:8s} {seconds:7.3f} s   floor {floor:6.3f} s   {share}")
    print_profile("generate", lambda: generate(case, policy, 0))
    budget = case.recipe.training.microbatch_tokens
    print_profile("train", lambda: compute_gradient(policy, None, batch, case.recipe, budget))


def generate(case: Case, policy: Policy, step: int) -> list[RolloutGroup]:
    """Generate and score the rollouts of one step."""
    batch = case.schedule[step]
    prompts = [case.prompts[item.task][item.index] for item in batch]
    sampling_P = [Sampling.of(case.recipe.sampling_of(prompt.task)) for prompt in prompts]
    generator = make_generator(policy, case.recipe)
    seeds_PG = sample_seeds(batch, case.recipe, 0, step)
    return case.scorer.score(generator.generate(prompts, seeds_PG, sampling_P)).groups()


def samples_of(case: Case, groups: Sequence[RolloutGroup]) -> list[GroupSamples]:
    return [group_samples(group, group_advantages(rewards_tensor(group))[0], case.recipe) for group in groups]


def memory_bandwidth() -> float:
    """Return the best measured rate of reading memory, bytes per second."""
    numbers, best = torch.ones(2**26), 0.0
    for _ in range(5):
        started = time.perf_counter()
        numbers.sum()
        best = max(best, numbers.nbytes / (time.perf_counter() - started))
    return best


def matmul_rate(dtype: torch.dtype) -> float:
    """Return the best measured rate of matrix products, floating point operations per second."""
    best = 0.0
    for rows, inner, columns in ((1024, 1024, 1024), (2048, 512, 512)):
        left, right = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
        for _ in range(20):
            started = time.perf_counter()
            left @ right
            best = max(best, 2 * rows * inner * columns / (time.perf_counter() - started))
    return best


def layer_weights(policy: Policy) -> int:
    """Return the number of weights in matrices between embedding and output."""
    embedding = policy.model.get_input_embeddings().weight
    return sum(p.numel() for p in policy.model.parameters() if p.dim() == 2 and p.shape != embedding.shape)


def head_weights(policy: Policy) -> int:
    return int(policy.model.get_output_embeddings().weight.numel())


def generation_flops(policy: Policy, groups: Sequence[RolloutGroup]) -> float:
    """Count the operations of generation: every input token once, the output embedding per sampled token."""
    prompts = sum(len(group.prompt.token_ids) for group in groups)
    sampled = sum(len(c.token_ids) for group in groups for c in group.trajectories)
    inputs = prompts + sampled - len(groups) * COMPLETIONS
    return 2.0 * (layer_weights(policy) * inputs + head_weights(policy) * sampled)


def generation_bytes(policy: Policy, groups: Sequence[RolloutGroup], dtype: torch.dtype) -> float:
    """Count the bytes of weights that decoding reads: all of them once per token of the longest completion."""
    steps = max(len(c.token_ids) for group in groups for c in group.trajectories)
    return float((layer_weights(policy) + head_weights(policy)) * dtype.itemsize * steps)


def training_flops(policy: Policy, samples: Sequence[Sample]) -> float:
    """Count the operations of forward and backward passes over completions with a nonzero advantage."""
    active = [sample for sample in samples if sample.advantage != 0]
    prompts = sum({id(sample.prompt): len(sample.prompt.token_ids) for sample in active}.values())
    sampled = sum(sample.trajectory.length for sample in active)
    return 6.0 * (layer_weights(policy) * (prompts + sampled - len(active)) + head_weights(policy) * sampled)


def print_profile(name: str, work: Callable[[], object]) -> None:
    """Print the twelve operations with the most CPU time of their own."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    events = profiler.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    print(f"{name}: {total / 1e6:.3f} s under the profiler")
    for event in sorted(events, key=lambda event: -event.self_cpu_time_total)[:12]:
        print(f"  {event.self_cpu_time_total / total:6.1%}  {event.count:6d} x  {event.key}")
