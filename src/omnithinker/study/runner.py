"""Run the stages of a study. A stage with a result does not run again.

Study folder: ``recipe.toml``; ``stages.json``; ``warmup`` if there is one; one folder per stage that evaluates a model,
with a ``result.json`` (``base``, ``single-math``, ``curriculum-best``, ``joint`` ...); ``accuracies.json`` and
``plan.json`` after the single-task runs; ``report.html``.
"""

from __future__ import annotations

from pathlib import Path

from omnithinker.config.recipe import Recipe
from omnithinker.errors import BadInput
from omnithinker.io.files import remove_leftovers, write_json
from omnithinker.io.layout import STAGES, WARMUP
from omnithinker.io.lock import lock
from omnithinker.schedules.plan import build_schedule
from omnithinker.study.stage import Stage
from omnithinker.study.stages import list_stages, stages_index
from omnithinker.train.context import RunContext
from omnithinker.train.folder import open_output_folder, refuse_changed_settings
from omnithinker.train.sft.run import finished_warmup
from omnithinker.ui.view import View


def run_stages(context: RunContext, view: View, only: str | None = None) -> Path:
    """Run every stage that is not done, or one stage alone.

    Args:
        context: the recipe and the objects that its runs share.
        view: shows progress.
        only: name of a stage.

    Returns:
        The study folder.

    Raises:
        BadInput: if the folder cannot be written to or holds results of other settings, there is no such stage, or a
            stage that it needs is not done.
        Interrupted: if another process runs the study, or one of the stages.
    """
    study = Path(context.recipe.output)
    if only is None:
        with lock(study):
            _open(study, context.recipe)
            remove_leftovers(study)
            _run_pending(context, view, study, None)
    else:
        # Stages may run side by side; each locks its own folder, and what the first one wrote stays as it is.
        if not (study / STAGES).exists():
            _open(study, context.recipe)
        refuse_changed_settings(study, context.recipe)
        _run_pending(context, view, study, only)
    return study


def _open(study: Path, recipe: Recipe) -> None:
    open_output_folder(study, recipe)
    write_json(study / STAGES, stages_index(recipe))


def _run_pending(context: RunContext, view: View, study: Path, only: str | None) -> None:
    recipe = context.recipe
    stages = pending_stages(recipe, study, only)
    plans = [plan for stage in stages if (plan := stage.run_plan(recipe))]
    view.total_steps = sum(len(build_schedule(plan, recipe, context.train_sizes)) for plan in plans)
    for stage in stages:
        if WARMUP in stage.needs:
            context.start = finished_warmup(study / WARMUP, recipe)
        if stage.repeats or not stage.result(study).exists():  # another process may have run it meanwhile
            stage.run(context, study, view)


def pending_stages(recipe: Recipe, study: Path, only: str | None = None) -> list[Stage]:
    """Return the stages to run now, in order.

    Raises:
        BadInput: if there is no stage ``only``, or a stage that it needs is not done.
    """
    stages = list_stages(recipe)
    done = {stage.name for stage in stages if stage.result(study).exists()}
    if only is not None:
        selected = [stage for stage in stages if stage.name == only]
        if not selected:
            raise BadInput(f"no stage {only!r}; stages: {', '.join(stage.name for stage in stages)}")
        missing = [name for name in selected[0].needs if name not in done]
        if missing and not selected[0].repeats:
            raise BadInput(f"stage {only} needs the results of: {', '.join(missing)}; run these stages first")
        stages = selected
    return [stage for stage in stages if stage.name not in done or stage.repeats]
