"""Cost of a recipe: memory of a training step and tokens of the whole study, as upper bounds."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from omnithinker.checks.data import TaskRows
from omnithinker.checks.memory import Load, ModelSize, estimate, model_size, readable
from omnithinker.checks.model import Outline
from omnithinker.checks.report import Section
from omnithinker.config.recipe import Recipe
from omnithinker.errors import OmniThinkerError
from omnithinker.policy.head import LOGITS_AT_ONCE
from omnithinker.policy.number_format import computes_in_bfloat16
from omnithinker.study.cost import dry_run
from omnithinker.train.context import RunContext
from omnithinker.ui.view import View


def check_memory(recipe: Recipe, outline: Outline, tasks: dict[str, TaskRows]) -> Section:
    """Compare the memory of the largest training step with the machine's; see :mod:`omnithinker.checks.memory`."""
    size, load = sizes(recipe, outline, max(map(_longest_prompt, tasks.values()), default=0))
    parts = estimate(size, load)
    available = available_memory(recipe)
    data = {"bytes": parts, "available": available, "keeps_cache": load.compiled}
    if available is None or parts["peak"] <= available:
        return Section("memory", data)
    return Section(
        "memory",
        data,
        (
            f"a training step may need {readable(parts['peak'])}, and this machine has {readable(available)}; "
            "lower sampling.batch_size, sampling.max_new_tokens or training.microbatch_tokens",
        ),
    )


def sizes(recipe: Recipe, outline: Outline, longest_prompt: int) -> tuple[ModelSize, Load]:
    """Return the inputs of the memory estimate.

    Args:
        recipe: settings; the task with the most tokens per prompt counts.
        outline: the base model.
        longest_prompt: tokens of the longest prompt in the data; 0 if unknown.
    """
    dtype: torch.dtype = getattr(torch, recipe.model.dtype)
    size = model_size(
        outline.config,
        parameters=outline.parameters,
        adapter=0 if recipe.model.lora is None else outline.trained,
        trained=outline.trained,
        trains_head=outline.trains_head,
        bytes_per_weight=dtype.itemsize,
    )
    limit = recipe.sampling.max_prompt_tokens
    samplings = [recipe.sampling_of(task) for task in recipe.tasks]
    largest = max(samplings, key=lambda sampling: sampling.completions * (limit + sampling.max_new_tokens))
    rows = recipe.training.prompts_per_step * largest.completions
    load = Load(
        prompts=recipe.training.prompts_per_step,
        rows=rows,
        rows_at_once=min(rows, max(recipe.sampling.batch_size, largest.completions)),
        prompt_tokens=min(longest_prompt or limit, limit),
        new_tokens=largest.max_new_tokens,
        minibatches=recipe.training.minibatches,
        microbatch_tokens=recipe.training.microbatch_tokens,
        logits_at_once=LOGITS_AT_ONCE,
        checkpointing=recipe.model.uses_gradient_checkpointing(uses_gpu(recipe)),
        compiled=recipe.model.compile,
        bfloat16=computes_in_bfloat16(recipe.model, outline.config, gpu=uses_gpu(recipe)),
    )
    return size, load


def uses_gpu(recipe: Recipe) -> bool:
    """Return True if the recipe's model goes to a GPU on this machine."""
    return torch.cuda.is_available() and recipe.model.device != "cpu"


def available_memory(recipe: Recipe) -> int | None:
    """Return the memory of the GPU that the recipe uses, or else of the machine, in bytes; None if unknown."""
    if uses_gpu(recipe):
        return int(torch.cuda.mem_get_info()[1])
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    return int(fields["MemTotal"].split()[0]) * 1024


def check_tokens(recipe: Recipe, tasks: dict[str, TaskRows]) -> Section:
    """Count the most tokens that a study of this recipe can sample, by stage."""
    if any(rows.bad for rows in tasks.values()):
        return Section("tokens", {"stages": None}, (), ("not counted: some rows cannot be used",))
    # Trackers do not affect the cost, and one that is not installed is reported elsewhere.
    recipe = recipe.model_copy(update={"trackers": ()})
    try:
        with RunContext(recipe, View(Console(quiet=True)).note) as context:
            stages = dry_run(context, Path(recipe.output))
    except OmniThinkerError as error:
        return Section("tokens", {"stages": None}, (), (f"not counted: {error}",))
    return Section("tokens", {"stages": stages, "most_tokens": sum(stage["most_tokens"] for stage in stages)})


def _longest_prompt(rows: TaskRows) -> int:
    return max((max(lengths) for lengths in rows.lengths.values() if lengths), default=0)
