"""Cost of a study's stages, before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.io.step_metrics import Seconds, StepMetrics
from omnithinker.schedules.base import FixedSchedule, Schedule, count_tasks
from omnithinker.schedules.plan import build_schedule
from omnithinker.study.stages import list_stages
from omnithinker.train.context import RunContext


def dry_run(context: RunContext, study: Path) -> list[dict[str, Any]]:
    """Return one record per stage: training prompts, steps, upper bounds of completions and their tokens, and state."""
    recipe = context.recipe
    records = []
    for stage in list_stages(recipe):
        plan = stage.run_plan(recipe)
        schedule = build_schedule(plan, recipe, context.train_sizes) if plan else FixedSchedule(())
        prompts = training_prompts(schedule, recipe)
        completions = Counter({task: n * recipe.sampling_of(task).completions for task, n in prompts.items()})
        if stage.evaluates:
            completions += _evaluation_completions(context, len(schedule), set(plan.order) if plan else set())
        demonstrations, updates = stage.work(context)
        records.append(
            {
                "stage": stage.name,
                "done": stage.result(study).exists(),
                "prompts": prompts.total() + demonstrations,
                "steps": len(schedule) + updates,
                "completions": completions.total(),
                "most_tokens": sum(n * recipe.sampling_of(task).max_new_tokens for task, n in completions.items()),
            }
        )
    return records


def training_prompts(schedule: Schedule, recipe: Recipe) -> Counter[str]:
    """Count the training prompts of a run per task.

    A schedule that decides during the run is counted with all its prompts on the task with the most tokens per prompt.
    """
    prompts: Counter[str] = Counter()
    state = schedule.initial_state()
    for step in range(len(schedule)):
        prompts += count_tasks(schedule.batch(step, state))
        state = schedule.after(step, state, StepMetrics(step=step + 1, tokens=0, seconds=Seconds(0.0, 0.0, 0.0)))
    if isinstance(schedule, FixedSchedule):
        return prompts

    def tokens(task: str) -> int:
        sampling = recipe.sampling_of(task)
        return sampling.completions * sampling.max_new_tokens

    return Counter({max(prompts, key=tokens): prompts.total()})


def _evaluation_completions(context: RunContext, steps: int, trained: Collection[str]) -> Counter[str]:
    """Count the completions per task of a stage's evaluations and validations, the final evaluation included."""
    settings = context.recipe.evaluation
    held_out = {task: len(prompts) for task, prompts in context.test_prompts.items()}
    if settings.validation_items:
        validations = -(-steps // settings.every)
        completions = Counter({task: validations * len(context.validation_prompts[task]) for task in trained})
        evaluations = 1
    else:
        completions = Counter()
        evaluations = 1 + (max(steps - 1, 0) // settings.every if settings.every else 0)
    return completions + Counter({task: 2 * evaluations * count for task, count in held_out.items()})
