"""Generation with plain and compiled decoding, alternating in one process.

    python benchmarks/decoding.py --case c

Both modes sample the same completions with the same policy. Prints the medians over all rounds and their ratio. The
first round, which includes compilation, is printed separately. See step_cases.py for the workloads.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from omnithinker.policy.base import Policy
from omnithinker.policy.loading import load_policy
from omnithinker.rollout.compiled import CompiledStep
from omnithinker.rollout.native import generate, sampling_of
from omnithinker.train.trainer import sample_seeds
from step_cases import Case, make_case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices="abcd", default="c", help="workload; see step_cases.py")
    parser.add_argument("--rounds", type=int, default=12, help="rounds per mode")
    parser.add_argument("--batches", type=int, default=4, help="rollout batches per round")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        case = make_case(arguments.case, arguments.batches, arguments.threads, work, stack)
        plain = load_policy(case.recipe.model)
        policies = {"plain": plain, "compiled": replace(plain, compiled=CompiledStep(plain.model))}
        first = {name: generate_all(case, policy) for name, policy in policies.items()}
        print(f"case {arguments.case}: first round {first['plain']:.2f} s plain, {first['compiled']:.2f} s compiled")
        seconds: dict[str, list[float]] = {name: [] for name in policies}
        for _ in range(arguments.rounds):
            for name, policy in policies.items():
                seconds[name].append(generate_all(case, policy) / arguments.batches)
        for name, times in seconds.items():
            print(f"{name:8s} {statistics.median(times):.3f} s per batch, minimum {min(times):.3f}")
        print(f"plain / compiled: {statistics.median(seconds['plain']) / statistics.median(seconds['compiled']):.2f}")


def generate_all(case: Case, policy: Policy) -> float:
    """Generate all batches and return the time, seconds."""
    started = time.perf_counter()
    for step, batch in enumerate(case.schedule):
        prompts = [case.prompts[item.task][item.index] for item in batch]
        sampling_P = [sampling_of(case.recipe.sampling_of(prompt.task)) for prompt in prompts]
        for _ in generate(policy, prompts, sample_seeds(batch, case.recipe, 0, step), sampling_P):
            pass
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
