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
from pathlib import Path

from omnithinker.policy.loading import load_policy
from omnithinker.rollout.base import Sampling
from omnithinker.rollout.native import NativeGenerator
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
        policy = load_policy(case.recipe.model)
        generators = {name: NativeGenerator(policy, compile=name == "compiled") for name in ("plain", "compiled")}
        first = {name: generate_all(case, generator) for name, generator in generators.items()}
        print(f"case {arguments.case}: first round {first['plain']:.2f} s plain, {first['compiled']:.2f} s compiled")
        seconds: dict[str, list[float]] = {name: [] for name in generators}
        for _ in range(arguments.rounds):
            for name, generator in generators.items():
                seconds[name].append(generate_all(case, generator) / arguments.batches)
        for name, times in seconds.items():
            print(f"{name:8s} {statistics.median(times):.3f} s per batch, minimum {min(times):.3f}")
        print(f"plain / compiled: {statistics.median(seconds['plain']) / statistics.median(seconds['compiled']):.2f}")


def generate_all(case: Case, generator: NativeGenerator) -> float:
    """Generate all batches and return the time, seconds."""
    started = time.perf_counter()
    for step, batch in enumerate(case.schedule):
        prompts = [case.prompts[item.task][item.index] for item in batch]
        sampling_P = [Sampling.of(case.recipe.sampling_of(prompt.task)) for prompt in prompts]
        for _ in generator.generate(prompts, sample_seeds(batch, case.recipe, 0, step), sampling_P):
            pass
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
