"""Builds a synthetic study folder of the true shape, for tests and for looking at a report.

python -m tests.builders.study_folder FOLDER [--seeds N]
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnithinker.config.recipe import Recipe
from omnithinker.planning import accuracies_from_dict, make_plan, plan_to_json

TASKS = ("math", "code", "qa", "writing")
ITEMS = 200
BASE = {"math": 0.46, "code": 0.38, "qa": 0.52, "writing": 0.44}
# [evaluated][trained] log change of accuracy
TRANSFER = {
    "math": {"math": 0.42, "code": 0.10, "qa": -0.06, "writing": -0.04},
    "code": {"math": 0.05, "code": 0.61, "qa": -0.14, "writing": -0.21},
    "qa": {"math": 0.02, "code": -0.03, "qa": 0.38, "writing": -0.10},
    "writing": {"math": -0.05, "code": -0.12, "qa": 0.04, "writing": 0.47},
}
ENTROPY = {"math": 0.42, "code": 0.35, "qa": 0.58, "writing": 1.20}
PRIMARY = {"math": "math_answer", "code": "unit_tests", "qa": "short_answer", "writing": "pairwise_judge"}
HOSTILE = '<script>alert("x")</script></pre><img src=x onerror=alert(1)>'


def recipe(seeds: Sequence[int] = (0,)) -> Recipe:
    return Recipe.model_validate(
        {
            "output": "runs/synthetic",
            "sampling": {"completions": 8, "max_new_tokens": 40},
            "training": {"learning_rate": 7e-4, "prompts_per_step": 8},
            "study": {"orders": ["best", "worst"], "schedules": ["joint"], "seeds": list(seeds)},
            "tasks": {
                task: {"data": f"lab:{task}", "rewards": {PRIMARY[task]: 1.0, "format": 0.1, "tags": 0.1}}
                for task in TASKS
            },
        }
    )


def outcomes(p: float, task: str, rng: np.random.Generator) -> list[float | None]:
    """Items have difficulties of their own, so that two models' outcomes are paired as real ones are."""
    difficulty = np.random.default_rng(TASKS.index(task)).random(ITEMS)
    noise = rng.normal(scale=0.12, size=ITEMS)
    return [float(d + n < p) for d, n in zip(difficulty, noise, strict=True)]


def evaluation(task: str, p: float, rng: np.random.Generator, entropy: float) -> dict[str, Any]:
    items = outcomes(p, task, rng)
    known = [value for value in items if value is not None]
    mean = sum(known) / len(known)
    error = math.sqrt(mean * (1 - mean) / (len(known) - 1))
    components = {PRIMARY[task]: mean, "format": 0.9, "tags": 0.95}
    examples = [
        {
            "prompt": f"{task} question {k}: what is {k} + {k}?",
            "completion": HOSTILE
            if (task, k) == ("qa", 1)
            else f"<think>{k}+{k}={2 * k}</think>\n<answer>{2 * k}</answer>",
            "components": {PRIMARY[task]: items[k], "format": 1.0, "tags": 1.0 if k else None},
        }
        for k in range(4)
    ]
    return {
        "task": task,
        "n": len(known),
        "accuracy": mean,
        "standard_error": error,
        "outcomes": items,
        "sampled_accuracy": mean * 0.9,
        "sampled_standard_error": error,
        "entropy": entropy,
        "components": components,
        "length": 18.5,
        "truncated": 0.01,
        "undefined": 0,
        "examples": examples,
    }


def levels(trained: Sequence[str]) -> dict[str, float]:
    """Accuracy of every task after training in an order."""
    found = {}
    for task in TASKS:
        later = trained[trained.index(task) + 1 :] if task in trained else trained
        own = TRANSFER[task][task] if task in trained else 0.0
        found[task] = min(BASE[task] * math.exp(own + sum(TRANSFER[task][j] for j in later)), 0.97)
    return found


def results(accuracy: dict[str, float], rng: np.random.Generator, shrink: float) -> dict[str, Any]:
    return {
        task: evaluation(task, accuracy[task], rng, ENTROPY[task] * shrink * rng.uniform(0.8, 1.5)) for task in TASKS
    }


def metrics(batches: Sequence[dict[str, int]], end: dict[str, float], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl; a batch says how many prompts of each task it has."""
    seen = dict.fromkeys(TASKS, 0)
    total = {task: sum(batch.get(task, 0) for batch in batches) for task in TASKS}
    lines = []
    for step, batch in enumerate(batches, start=1):
        line: dict[str, Any] = {
            "step": step,
            "tokens": 1500,
            "seconds/generate": 0.4,
            "seconds/train": 0.5,
            "loss": 0.1,
        }
        for task, prompts in batch.items():
            share = seen[task] / total[task]
            level = BASE[task] + (end[task] - BASE[task]) * (1 - math.exp(-3 * share))
            right = rng.binomial(prompts * 8, min(level, 1.0)) / (prompts * 8)
            undefined = int(task == "writing" and step % 20 == 0)
            line |= {
                f"task/{task}/reward": right + 0.15 + 0.04 * share,
                f"task/{task}/accuracy": right,
                f"task/{task}/entropy": ENTROPY[task] * (1 - 0.5 * share) * rng.uniform(0.93, 1.07),
                f"task/{task}/length": 18.0,
                f"task/{task}/truncated": 0.02,
                f"task/{task}/completions": prompts * 8,
                f"task/{task}/undefined": undefined,
                f"task/{task}/kl": None,
            }
            if task == "writing":
                line |= {
                    f"task/{task}/judged/pairwise_judge/{name}": value
                    for name, value in {
                        "candidate_chars": 100 + 60 * share,
                        "reference_chars": 120.0,
                        "longer": 0.25 + 0.5 * share,
                        "preferred_longer": 0.75,
                        "preferred_not_longer": None if step % 2 else 0.25,
                        "length_correlation": 0.5,
                    }.items()
                }
                line |= {"judge/default/calls": 10 * step, "judge/default/failures/judge_down": 2}
            if undefined:
                line[f"task/{task}/undefined/pairwise_judge/unparseable"] = 1
            seen[task] += prompts
        lines.append(line)
    return lines


def write_run(
    folder: Path, name: str, order: Sequence[str], seed: int, *, joint: bool = False, change: float = 1.0
) -> None:
    """A finished training run; ``change`` multiplies its accuracies."""
    rng = np.random.default_rng([seed, *name.encode()])
    end = {task: min(value * change, 0.98) for task, value in levels(order).items()}
    per_task = 25
    batches = (
        [dict.fromkeys(order, 2)] * (per_task * len(order))
        if joint
        else [{t: 8} for t in order for _ in range(per_task)]
    )
    run = folder / name
    (run / "eval").mkdir(parents=True)
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics(batches, end, rng)))
    for k in range(1, len(order) + 1):
        step = per_task * k
        at = levels(order[:k]) if not joint else {t: BASE[t] + (end[t] - BASE[t]) * k / len(order) for t in TASKS}
        tasks = results(at, rng, 1 - 0.12 * k)
        (run / f"eval/step-{step}.json").write_text(json.dumps({"step": step, "tasks": tasks}))
    result = manifest(name, results(end, rng, 0.6), 31.5 * len(order)) | {
        "schedule": "joint" if joint else "curriculum",
        "order": list(order),
        "seed": seed,
        "steps": len(batches),
        "completions": sum(sum(batch.values()) for batch in batches) * 8,
    }
    (run / "result.json").write_text(json.dumps(result))


JUDGES = {
    "default": {
        "model": "judge-mini",
        "calls": 12345,
        "cached": 67,
        "retries": 8,
        "prompt_tokens": 2_000_000,
        "completion_tokens": 500_000,
        "cost": 1.6,
        "seconds": 99.0,
        "failures": {"judge_timeout": 3},
    }
}


def manifest(name: str, tasks: dict[str, Any], seconds: float) -> dict[str, Any]:
    versions = {
        "python": "3.11.2",
        "omnithinker": "0.1.0",
        "torch": "2.13.0",
        "transformers": "5.17.0",
        "numpy": "2.3.0",
    }
    return {
        "name": name,
        "seconds": seconds,
        "versions": versions,
        "sandbox": "strong",
        "judges": JUDGES if name != "base" else {},
        "recipe": "0" * 64,
        "tasks": tasks,
    }


LABELS = {"best": "curriculum, best order", "worst": "curriculum, worst order", "joint": "joint training"}


def stages(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The index of the study's stages."""

    def stage(name: str, kind: str, label: str, **fields: Any) -> dict[str, Any]:
        return {"name": name, "kind": kind, "label": label, "subject": "", "seed": None, "schedule": None} | fields

    def training(name: str, kind: str, subject: str, schedule: str, needs: list[str]) -> list[dict[str, Any]]:
        label = LABELS.get(subject, f"{subject} alone")
        many = len(seeds) > 1
        return [
            stage(
                f"{name}#{seed}" if many else name,
                kind,
                label,
                folder=name.replace(":", "-") + (f"-seed{seed}" if many else ""),
                subject=subject,
                seed=seed if many else None,
                schedule=schedule,
                needs=needs,
            )
            for seed in seeds
        ]

    index = [stage("base", "base", "base model", folder="base", needs=[])]
    for task in TASKS:
        index += training(f"single:{task}", "single", task, "curriculum", [])
    index.append(stage("plan", "plan", "plan", folder=None, needs=[entry["name"] for entry in index]))
    for order in ("best", "worst"):
        index += training(f"curriculum:{order}", "curriculum", order, "curriculum", ["plan"])
    index += training("joint", "schedule", "joint", "joint", [])
    return [*index, stage("report", "report", "report", folder=None, needs=[entry["name"] for entry in index])]


def make_study(folder: Path, seeds: Sequence[int] = (0,), until: str = "joint") -> Path:
    """Write a study up to a stage: ``nothing``, ``base``, ``single``, ``plan``, ``curriculum`` or ``joint``."""
    progress = ["nothing", "base", "single", "plan", "curriculum", "joint"].index(until)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(recipe(seeds).to_toml())
    (folder / "stages.json").write_text(json.dumps(stages(seeds)))
    ends = [f"-seed{seed}" if len(seeds) > 1 else "" for seed in seeds]
    if progress >= 1:
        (folder / "base").mkdir()
        base = manifest("base", results(BASE, np.random.default_rng(7), 1.0), 8.2)
        (folder / "base/result.json").write_text(json.dumps(base))
    if progress >= 2:
        for task in TASKS:
            for seed, end in zip(seeds, ends, strict=True):
                write_run(folder, f"single-{task}{end}", [task], seed)
    if progress >= 3:
        table = accuracy_table(folder, ends)
        plan = plan_to_json(make_plan(accuracies_from_dict(table), resamples=500))
        (folder / "plan.json").write_text(json.dumps(plan))
        for seed, end in zip(seeds, ends, strict=True):
            if progress >= 4:
                write_run(folder, f"curriculum-best{end}", plan["order"], seed, change=0.98)
                write_run(folder, f"curriculum-worst{end}", plan["worst"], seed, change=1.01)
            if progress >= 5:
                write_run(folder, f"joint{end}", list(TASKS), seed, joint=True, change=0.97)
    return folder


def accuracy_table(folder: Path, ends: Sequence[str]) -> dict[str, Any]:
    def read(name: str) -> dict[str, Any]:
        return json.loads((folder / name / "result.json").read_text())["tasks"]

    base = read("base")
    after = {j: [read(f"single-{j}{end}") for end in ends] for j in TASKS}
    return {
        "tasks": list(TASKS),
        "base": {i: base[i]["accuracy"] for i in TASKS},
        "after": {j: {i: float(np.mean([run[i]["accuracy"] for run in after[j]])) for i in TASKS} for j in TASKS},
        "n": dict.fromkeys(TASKS, ITEMS),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    make_study(args.folder, range(args.seeds))
