"""What a recipe will need: memory of a training step, tokens of the whole study. Upper bounds."""

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
from omnithinker.policy.logprobs import LOGITS_AT_ONCE
from omnithinker.study.cost import dry_run
from omnithinker.train.context import RunContext
from omnithinker.train.setup import needs_reference
from omnithinker.ui.view import View


def check_memory(recipe: Recipe, outline: Outline, tasks: dict[str, TaskRows]) -> Section:
    """Estimate the memory of the largest training step; see :mod:`omnithinker.checks.memory`."""
    size, load = sizes(recipe, outline, max(map(_longest, tasks.values()), default=0))
    parts = estimate(size, load)
    available = available_memory(recipe)
    data = {"bytes": parts, "available": available, "keeps_cache": load.compiled}
    if available is None or parts["peak"] <= available:
        return Section("memory", data)
    return Section(
        "memory",
        data,
        (
            f"a training step may need {readable(parts['peak'])}, of which this machine has {readable(available)}; "
            "lower sampling.batch_size, sampling.max_new_tokens or training.microbatch_tokens",
        ),
    )


def sizes(recipe: Recipe, outline: Outline, longest_prompt: int) -> tuple[ModelSize, Load]:
    """The numbers that the estimate is made from.

    Args:
        recipe: settings; of several tasks the one with the most tokens per prompt counts.
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
        reference=needs_reference(recipe) and recipe.model.lora is None,
        checkpointing=recipe.model.uses_gradient_checkpointing(uses_gpu(recipe)),
        compiled=recipe.model.compile,
    )
    return size, load


def uses_gpu(recipe: Recipe) -> bool:
    """Whether the recipe's model goes to a GPU on this machine."""
    return torch.cuda.is_available() and recipe.model.device != "cpu"


def available_memory(recipe: Recipe) -> int | None:
    """Bytes of the GPU that the recipe would use, or else of the machine; None if unknown."""
    if uses_gpu(recipe):
        return int(torch.cuda.mem_get_info()[1])
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    return int(fields["MemTotal"].split()[0]) * 1024


def check_tokens(recipe: Recipe, tasks: dict[str, TaskRows]) -> Section:
    """Most tokens that a study of this recipe can sample, by stage."""
    if any(found.bad for found in tasks.values()):
        return Section("tokens", {"stages": None}, (), ("tokens are counted once all rows can be used",))
    # What a stage costs does not depend on who is told of it.
    recipe = recipe.model_copy(update={"trackers": ()})
    try:
        with RunContext(recipe, View(Console(quiet=True)).note) as context:
            stages = dry_run(context, Path(recipe.output))
    except OmniThinkerError as error:
        return Section("tokens", {"stages": None}, (), (f"tokens cannot be counted: {error}",))
    return Section("tokens", {"stages": stages, "most_tokens": sum(stage["most_tokens"] for stage in stages)})


def _longest(found: TaskRows) -> int:
    return max((max(lengths) for lengths in found.lengths.values() if lengths), default=0)
