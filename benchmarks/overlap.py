"""Cost of a slow reward to a training step: steps of the lab model with a judge that takes 2 s, and with no latency.

    python benchmarks/overlap.py --latency 2 --prompts 32 --completions 8 --tokens 96 --repeats 3

Rewards run while generation continues, so the step only waits for verdicts on the last completions. Steps with and
without latency alternate and sample the same completions. Prints medians, the ratio of step times, and the ratio if
scoring started only after generation.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch

from omnithinker.config.recipe import Recipe
from omnithinker.io.files import read_json_lines
from omnithinker.judge.base import Verdict
from omnithinker.policy.loading import load_policy
from omnithinker.rewards.base import Component
from omnithinker.rewards.pairwise_judge import PairwiseJudge
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.runner import Scorer
from omnithinker.schedules.base import FixedSchedule
from omnithinker.schedules.curriculum import curriculum_batches
from omnithinker.tasks.base import encode_prompts, load_tasks
from omnithinker.train.trainer import Trainer
from omnithinker.types import Prompt


class SlowJudge:
    """Judge that sleeps, then prefers a text by the lengths of both."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s

    async def compare(
        self, *, request: str, answer_a: str, answer_b: str, row: Mapping[str, Any], trial: int = 0
    ) -> Verdict:
        """Return a verdict after the latency."""
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        return Verdict.A if (len(answer_a) + 2 * len(answer_b)) % 3 else Verdict.B


class NullObserver:
    """Observer that ignores all events."""

    def on_step(self, metrics: object, total: int) -> None:
        """Ignore the step."""

    def note(self, text: str) -> None:
        """Ignore the note."""

    def on_evaluate(self, trainer: Trainer) -> None:
        """Skip the evaluation."""


def recipe_of(args: argparse.Namespace) -> Recipe:
    return Recipe.model_validate(
        {
            "model": {"path": "lab", "device": "cpu", "threads": args.threads},
            "sampling": {
                "completions": args.completions,
                "max_new_tokens": args.tokens,
                "temperature": args.temperature,
            },
            "training": {"prompts_per_step": args.prompts, "learning_rate": 1e-6, "checkpoint_every": 1000},
            "tasks": {
                "writing": {
                    "data": "lab:writing",
                    "train_items": args.prompts,
                    "rewards": {"pairwise_judge": 1.0},
                }
            },
        }
    )


def step_seconds(recipe: Recipe, prompts: dict[str, list[Prompt]], latency_s: float) -> dict[str, float]:
    """Train one step. Return its times in seconds, and its tokens."""
    size = len(prompts["writing"])
    batches = curriculum_batches({"writing": size}, ["writing"], prompts_per_step=size, epochs=1, seed=0)
    component = Component("judge", PairwiseJudge(SlowJudge(latency_s)), 1.0, True)
    with tempfile.TemporaryDirectory() as folder, Scorer({"writing": [component]}) as scorer:
        Trainer(recipe, prompts, FixedSchedule(batches), scorer, Path(folder), NullObserver(), seed=0).train()
        record = read_json_lines(Path(folder) / "metrics.jsonl")[0]
    seconds = {part: record[f"seconds/{part}"] for part in ("generate", "wait", "train")}
    return {**seconds, "step": sum(seconds.values()), "tokens": record["tokens"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=2.0, help="seconds per verdict (default 2)")
    parser.add_argument("--prompts", type=int, default=32, help="prompts per step")
    parser.add_argument("--completions", type=int, default=8, help="completions per prompt")
    parser.add_argument("--tokens", type=int, default=96, help="maximum completion length")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--repeats", type=int, default=3, help="steps per latency")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = recipe_of(args)
    policy = load_policy(recipe.model)
    with Resources(recipe) as resources:
        task = load_tasks(recipe, resources)["writing"]
    prompts = {"writing": encode_prompts(task, task.train, policy.tokenizer.encode)[0]}
    steps_by_latency: dict[float, list[dict[str, float]]] = {0.0: [], args.latency: []}
    step_seconds(recipe, prompts, 0.0)  # warm-up
    for _ in range(args.repeats):
        for latency_s, steps in steps_by_latency.items():
            steps.append(step_seconds(recipe, prompts, latency_s))
    fast, slow = (
        {name: median(step[name] for step in steps) for name in steps[0]} for steps in steps_by_latency.values()
    )
    for label, step in (("no latency", fast), (f"{args.latency:g} s", slow)):
        print(
            f"{label:>11}: generate {step['generate']:6.2f} s  wait {step['wait']:6.2f} s  "
            f"train {step['train']:6.2f} s  step {step['step']:6.2f} s"
        )
    print(
        f"ratio {slow['step'] / fast['step']:.3f} (medians of {args.repeats}, {args.prompts} x {args.completions} "
        f"completions, {fast['tokens']:,.0f} tokens); without overlap "
        f"{(fast['step'] + args.latency) / fast['step']:.3f}"
    )


if __name__ == "__main__":
    main()
