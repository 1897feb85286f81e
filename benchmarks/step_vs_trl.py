"""A training step against TRL's GRPOTrainer with the same model, prompts, rewards, sampling and threads.

    python benchmarks/step_vs_trl.py --case b --rounds 3
    python benchmarks/step_vs_trl.py --model FOLDER --new-tokens 32 --dtype bfloat16/float32 --trl-rows 8 16 32
    python benchmarks/step_vs_trl.py --recipe FILE --model FOLDER

The trainers alternate, several steps each, every time in a process of its own. Prints medians over all timed steps, the
ratios for TRL's fastest micro-batch, and the peak memory of each. A step includes generation, rewards, update and
logging, but no checkpoints. See step_cases.py for the workloads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch

import step_floor
from omnithinker.policy.loading import load_policy
from step_cases import COMPLETIONS, Case, Options, make_case
from step_timing import StepTime, run_omnithinker
from step_trl import run_trl

FORMATS = ("auto", "float32", "bfloat16")


@dataclass
class Runs:
    """Timed runs of one trainer."""

    steps: list[StepTime] = field(default_factory=list)
    peak: float = 0.0
    """Peak memory, GB."""
    fractions: list[float] = field(default_factory=list)
    """Fraction of groups without reward variance, per step."""

    def median(self, measure: Callable[[StepTime], float]) -> float:
        """Return the median of a measure over the steps."""
        return statistics.median(map(measure, self.steps))


def wall(step: StepTime) -> float:
    return step.wall


def main() -> None:
    arguments = parse()
    ours, _, theirs = arguments.dtype.partition("/")
    options = Options(
        case="r" if arguments.recipe else arguments.case or ("m" if arguments.model else "a"),
        steps=arguments.steps + 2,  # the first step (warm-up) and omnithinker's last (checkpoint) are not timed
        threads=arguments.threads,
        compute=ours,
        model=arguments.model,
        recipe=arguments.recipe,
        new_tokens=arguments.new_tokens,
        prompts=arguments.prompts,
        compile=arguments.compile,
        microbatch_tokens=arguments.microbatch_tokens,
    )
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        case = make_case(options, work, stack)
        if arguments.only:
            rows = arguments.trl_rows[0] if arguments.trl_rows else None
            print(json.dumps(timed(case, work, arguments.only, rows, bf16=theirs == "bfloat16")))
            return
        packages = " ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
        print(f"{cpu_name()}, {arguments.threads} threads, {packages}, load {os.getloadavg()[0]:.1f}")
        print(f"number formats: omnithinker {ours}, TRL {theirs}")
        describe(options.case, case)
        if arguments.profile:
            step_floor.report(case, load_policy(case.recipe.model))
            return
        compare(case, *alternate(arguments.rounds, arguments.trl_rows or [len(case.schedule[0]) * COMPLETIONS]))
        print(f"load at the end {os.getloadavg()[0]:.1f}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices="abcdm", help="workload; see step_cases.py (default: m with --model, else a)")
    parser.add_argument("--recipe", metavar="FILE", help="tasks, rewards and model of a recipe instead")
    parser.add_argument("--model", metavar="FOLDER", help="model of case c or m, or of the recipe")
    parser.add_argument("--new-tokens", type=int, help="token limit of a completion")
    parser.add_argument("--prompts", type=int, default=4, help="prompts per step with --model or --recipe")
    parser.add_argument(
        "--dtype",
        metavar="OURS/THEIRS",
        choices=[f"{ours}/{theirs}" for ours in FORMATS for theirs in FORMATS[1:]],
        default="float32/float32",
        help="number formats of matrix products",
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds per trainer")
    parser.add_argument("--steps", type=int, default=3, help="timed steps per round")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads per trainer")
    parser.add_argument(
        "--trl-rows", type=int, nargs="+", help="completions per training pass of TRL (default: all of a step)"
    )
    parser.add_argument("--microbatch-tokens", type=int, help="tokens of omnithinker's micro-batch")
    parser.add_argument("--compile", action="store_true", help="compile omnithinker's decoding (model.compile)")
    parser.add_argument(
        "--profile", action="store_true", help="profile omnithinker against the lower bound, without TRL"
    )
    parser.add_argument("--only", choices=("omnithinker", "trl"), help="one run of one trainer; prints JSON")
    return parser.parse_args()


def timed(case: Case, work: Path, trainer: str, trl_rows: int | None, *, bf16: bool) -> dict[str, object]:
    """Run one trainer in this process."""
    steps, fractions = run_omnithinker(case, work) if trainer == "omnithinker" else ([], [])
    if trainer == "trl":
        steps = run_trl(case, work, trl_rows, bf16=bf16)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"steps": [asdict(step) for step in steps], "peak": peak, "fractions": fractions}


def alternate(rounds: int, trl_rows: Sequence[int]) -> tuple[Runs, dict[int, Runs]]:
    """Run the trainers in turn; TRL once per size of its micro-batch."""
    ours, theirs = Runs(), {rows: Runs() for rows in trl_rows}
    for _ in range(rounds):
        for rows, runs in theirs.items():
            add(runs, ["--only", "trl", "--trl-rows", str(rows)])
        add(ours, ["--only", "omnithinker"])
    return ours, theirs


def add(runs: Runs, more: Sequence[str]) -> None:
    command = [sys.executable, *sys.argv, *more]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    record = json.loads(result.stdout.splitlines()[-1])
    runs.steps += [StepTime(**step) for step in record["steps"]]
    runs.fractions += record["fractions"]
    runs.peak = max(runs.peak, record["peak"])


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return name + (" with AMX" if any("amx_bf16" in line for line in lines) else "")


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


def compare(case: Case, ours: Runs, theirs: dict[int, Runs]) -> None:
    """Print medians, and ratios for TRL's fastest micro-batch."""
    rows = len(case.schedule[0]) * COMPLETIONS
    print(f"frac_reward_zero_std: {statistics.mean(ours.fractions):.2f}")
    print("               steps  wall s  generate   train   CPU s  tokens   fill  peak GB")
    for name, runs in [(f"TRL, {size} rows", runs) for size, runs in theirs.items()] + [("omnithinker", ours)]:
        tokens = runs.median(lambda step: step.tokens)
        print(
            f"{name:14s} {len(runs.steps):5d} {runs.median(wall):7.3f} {runs.median(lambda step: step.generate):9.3f} "
            f"{runs.median(lambda step: step.wall - step.generate):7.3f} {runs.median(lambda step: step.cpu):7.3f} "
            f"{tokens:7.0f} {tokens / (rows * case.recipe.sampling.max_new_tokens):6.2f} {runs.peak:8.2f}"
        )
    size, best = min(theirs.items(), key=lambda pair: pair[1].median(wall))
    measures: dict[str, Callable[[StepTime], float]] = {
        "wall": wall,
        "generate": lambda step: step.generate,
        "train": lambda step: step.wall - step.generate,
        "CPU": lambda step: step.cpu,
        "CPU per token": lambda step: step.cpu / max(step.tokens, 1),
    }
    ratios = {name: best.median(measure) / max(ours.median(measure), 1e-9) for name, measure in measures.items()}
    print(f"TRL ({size} rows) / omnithinker: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))
    print(
        "peak memory, omnithinker / TRL: " + ", ".join(f"{n} rows {ours.peak / r.peak:.2f}" for n, r in theirs.items())
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
