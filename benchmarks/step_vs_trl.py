"""A whole training step against TRL's GRPOTrainer: same model, prompts, rewards, sampling and threads.

    python benchmarks/step_vs_trl.py --case b --rounds 3

The two take turns, several steps each; printed are medians over all timed steps. Times are of the whole step as a user
gets it: generation, rewards, update, logging; no checkpoints. See step_cases.py for the workloads.
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
from step_timing import Timed, run_ours
from step_trl import run_trl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices="abcd", default="a")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each trainer")
    parser.add_argument("--steps", type=int, default=3, help="timed steps in a turn")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each")
    parser.add_argument("--trl-rows", type=int, help="completions TRL trains on at once; default: all of a step")
    parser.add_argument("--model", default="lab", help="of case c: the base model, or the folder of a checkpoint")
    parser.add_argument("--compile", action="store_true", help="compile our decoding (model.compile); TRL has no such")
    parser.add_argument("--profile", action="store_true", help="our time over the floor, and where it goes; no TRL")
    arguments = parser.parse_args()
    packages = " ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    print(f"{platform.processor() or platform.machine()}, {arguments.threads} threads, {packages}")
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # One step warms up, and the last of ours, which writes a checkpoint, is left out too.
        case = make_case(arguments.case, arguments.steps + 2, arguments.threads, work, stack, arguments.model)
        if arguments.compile:
            model = case.recipe.model.model_copy(update={"compile": True})
            case = replace(case, recipe=case.recipe.model_copy(update={"model": model}))
        describe(arguments.case, case)
        if arguments.profile:
            step_floor.report(case, load_policy(case.recipe.model))
            return
        theirs: list[Timed] = []
        ours: list[Timed] = []
        zero: list[float] = []
        for _ in range(arguments.rounds):
            theirs += run_trl(case, work, arguments.trl_rows)
            timed, shares = run_ours(case, work)
            ours, zero = ours + timed, zero + shares
        compare(case, theirs, ours, statistics.mean(zero))


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


def compare(case: Case, theirs: list[Timed], ours: list[Timed], frac_reward_zero_std: float) -> None:
    rows = len(case.schedule[0]) * COMPLETIONS
    print(f"groups without variance: {frac_reward_zero_std:.2f}")
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
    print("TRL / ours: " + ", ".join(f"{name} {value:.2f}" for name, value in ratios.items()))


def ratio(theirs: list[Timed], ours: list[Timed], measure: Callable[[Timed], float]) -> float:
    return statistics.median(map(measure, theirs)) / statistics.median(map(measure, ours))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
