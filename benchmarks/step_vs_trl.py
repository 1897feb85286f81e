"""A training step against TRL's GRPOTrainer with the same model, prompts, rewards, sampling and threads.

    python benchmarks/step_vs_trl.py --case b --rounds 3

The trainers alternate, several steps each. Prints medians over all timed steps. A step includes generation, rewards,
update and logging, but no checkpoints. See step_cases.py for the workloads.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch

import step_floor
from omnithinker.policy.loading import load_policy
from step_cases import COMPLETIONS, Case, make_case
from step_timing import StepTime, run_omnithinker
from step_trl import run_trl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices="abcd", default="a", help="workload; see step_cases.py")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per trainer")
    parser.add_argument("--steps", type=int, default=3, help="timed steps per round")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads per trainer")
    parser.add_argument("--trl-rows", type=int, help="completions per training pass of TRL (default: all of a step)")
    parser.add_argument("--model", default="lab", help="model of case c: lab, or a checkpoint folder")
    parser.add_argument("--compile", action="store_true", help="compile omnithinker's decoding (model.compile)")
    parser.add_argument(
        "--profile", action="store_true", help="profile omnithinker against the lower bound, without TRL"
    )
    arguments = parser.parse_args()
    packages = " ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    print(f"{platform.processor() or platform.machine()}, {arguments.threads} threads, {packages}")
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # The first step (warm-up) and omnithinker's last (checkpoint) are not timed.
        case = make_case(arguments.case, arguments.steps + 2, arguments.threads, work, stack, arguments.model)
        if arguments.compile:
            model = case.recipe.model.model_copy(update={"compile": True})
            case = replace(case, recipe=case.recipe.model_copy(update={"model": model}))
        describe(arguments.case, case)
        if arguments.profile:
            step_floor.report(case, load_policy(case.recipe.model))
            return
        theirs: list[StepTime] = []
        ours: list[StepTime] = []
        fractions: list[float] = []
        for _ in range(arguments.rounds):
            theirs += run_trl(case, work, arguments.trl_rows)
            step_times, step_fractions = run_omnithinker(case, work)
            ours, fractions = ours + step_times, fractions + step_fractions
        compare(case, theirs, ours, statistics.mean(fractions))


def describe(name: str, case: Case) -> None:
    model = load_policy(case.recipe.model).model
    weights = sum(p.numel() for p in model.parameters())
    embedding = model.get_input_embeddings().weight
    lengths = [len(case.prompts[item.task][item.index].token_ids) for batch in case.schedule for item in batch]
    print(
        f"case {name}: {weights / 1e6:.2f} M weights, vocabulary {embedding.shape[0]}, hidden {embedding.shape[1]}, "
        f"{len(case.schedule[0])} prompts of {min(lengths)}-{max(lengths)} tokens x {COMPLETIONS} completions "
        f"of up to {case.recipe.sampling.max_new_tokens}"
    )


def compare(case: Case, theirs: list[StepTime], ours: list[StepTime], frac_reward_zero_std: float) -> None:
    rows = len(case.schedule[0]) * COMPLETIONS
    print(f"frac_reward_zero_std: {frac_reward_zero_std:.2f}")
    print("            steps  wall s  generate  train   CPU s  tokens   fill")
    for name, steps in (("TRL", theirs), ("omnithinker", ours)):
        wall, generate, cpu, tokens = (
            statistics.median(getattr(step, part) for step in steps) for part in ("wall", "generate", "cpu", "tokens")
        )
        train = statistics.median(step.wall - step.generate for step in steps)
        fill = tokens / (rows * case.recipe.sampling.max_new_tokens)
        print(
            f"{name:11s} {len(steps):5d} {wall:8.3f} {generate:8.3f} {train:7.3f} {cpu:7.3f} {tokens:7.0f} {fill:6.2f}"
        )
    ratios = {
        "wall": ratio(theirs, ours, lambda step: step.wall),
        "generate": ratio(theirs, ours, lambda step: step.generate),
        "train": ratio(theirs, ours, lambda step: step.wall - step.generate),
        "CPU": ratio(theirs, ours, lambda step: step.cpu),
        "CPU per token": ratio(theirs, ours, lambda step: step.cpu / step.tokens),
    }
    print("TRL / omnithinker: " + ", ".join(f"{name} {value:.2f}" for name, value in ratios.items()))


def ratio(theirs: list[StepTime], ours: list[StepTime], measure: Callable[[StepTime], float]) -> float:
    return statistics.median(map(measure, theirs)) / statistics.median(map(measure, ours))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
