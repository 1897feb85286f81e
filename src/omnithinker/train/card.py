"""The model card of a finished run: ``README.md`` in the folder of its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from omnithinker.config.recipe import Recipe
from omnithinker.config.sharing import shareable_settings
from omnithinker.io.runlog import versions
from omnithinker.schedules.plan import RunPlan
from omnithinker.types import EvalResult

LOAD_MODEL = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")"""
LOAD_ADAPTER = """\
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")"""
CARD = """\
---
{header}
pipeline_tag: text-generation
tags: [omnithinker, grpo, reinforcement-learning]
---

# {title}

- Base model: {base}
- Training: multi-task GRPO with omnithinker {version}; {run}, seed {seed}
- Steps: {steps}{measured}

## Results

On held-out items, accuracy with its standard error; entropy is in nats per token.

| task | items | greedy accuracy | sampled accuracy | entropy |
| --- | --- | --- | --- | --- |
{rows}

## Use

```python
{code}
```

## Licence

Unknown to the trainer. The licences of the base model and of the training data apply.

## Recipe

````toml
{recipe}````
"""


def model_card(recipe: Recipe, plan: RunPlan, results: Mapping[str, EvalResult], steps: int, measured_step: int) -> str:
    """Return the model card of a run as Markdown with the hub's metadata.

    Addresses, commands and the folders of local files are left out.

    Args:
        recipe: all settings.
        plan: schedule, tasks and seed.
        results: evaluation of the weights, per task.
        steps: training steps of the run.
        measured_step: step of the weights.
    """
    adapter = recipe.model.lora is not None
    base, on_hub = _base(recipe.model.path)
    header = ["library_name: " + ("peft" if adapter else "transformers")] + [f"base_model: {base}"] * on_hub
    return CARD.format(
        header="\n".join(header),
        title=f"{base}, {plan.name}",
        base=f"{base}; this is a LoRA adapter of it" if adapter else base,
        steps=steps,
        version=versions()["omnithinker"],
        run=plan.name,
        seed=plan.seed,
        measured=""
        if measured_step == steps
        else f"; these are the weights of step {measured_step}, the best in validation",
        rows="\n".join(_row(task, result) for task, result in results.items()),
        code=(LOAD_ADAPTER if adapter else LOAD_MODEL).format(folder="."),
        recipe=tomli_w.dumps(_public(shareable_settings(recipe))),
    )


def _base(path: str) -> tuple[str, bool]:
    """Return the name of the base model, and True if it is one of the hub."""
    if path == "lab":
        return "the lab's built-in model", False
    if re.fullmatch(r"[\w.-]+/[\w.-]+", path) and not Path(path).exists():
        return path, True
    return Path(path).name, False


def _row(task: str, result: EvalResult) -> str:
    entropy = "undefined" if result.entropy is None else f"{result.entropy:.3f}"
    return (
        f"| {task} | {result.n} | {result.accuracy:.3f} ± {result.standard_error:.3f} "
        f"| {result.sampled_accuracy:.3f} ± {result.sampled_standard_error:.3f} | {entropy} |"
    )


def _public(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the names of local files and folders instead of their paths."""
    settings.pop("output", None)
    settings["model"]["path"] = _base(settings["model"]["path"])[0] if settings["model"]["path"] != "lab" else "lab"
    for task in settings["tasks"].values():
        task |= {split: Path(task[split]).name for split in ("train", "test") if split in task}
        for reward in task["rewards"].values():
            if str(reward.get("kind", "")).startswith("python:/"):
                reward["kind"] = "python:" + Path(reward["kind"].removeprefix("python:")).name
    for judge in settings["judges"].values():
        judge.pop("cache", None)
        judge |= {"template": Path(judge["template"]).name} if judge.get("template") else {}
    return settings
