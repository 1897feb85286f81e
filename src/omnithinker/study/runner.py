"""The whole experiment as stages; each stage's result is a file, and a stage that is done is not run again.

Folder of a study: ``recipe.toml``; one folder per stage with a ``result.json`` (``base``, ``single-math``,
``curriculum-best``, ``joint`` ...); ``accuracies.json`` and ``plan.json`` once the single-task runs are done;
``report.html``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from omnithinker.config.file import changed_settings, load_recipe
from omnithinker.config.recipe import Recipe, parse_order
from omnithinker.errors import BadInput, Interrupted
from omnithinker.io.files import make_folder, read_json, write_json, write_text
from omnithinker.planning import make_plan, plan_to_json, read_accuracies
from omnithinker.study import experiment as runs
from omnithinker.study.experiment import Experiment, RunPlan
from omnithinker.study.stages import LOCK, RESULT, Stage, holder_of, read_results, stages

BEAT_S = 60.0
"""Seconds between signs of life of a stage that is being run."""


def study_folder(recipe: Recipe) -> Path:
    """The folder of a recipe's study, made if need be.

    Raises:
        BadInput: it cannot be written, or holds a study under other settings.
    """
    folder = make_folder(Path(recipe.output))
    file = folder / "recipe.toml"
    if file.exists():
        changes = changed_settings(load_recipe(file), recipe)
        if changes:
            raise BadInput(
                f"{folder} holds a study under other settings ({'; '.join(changes[:3])}"
                f"{' …' if len(changes) > 3 else ''}); remove the folder, or choose another with --set output=FOLDER"
            )
    write_text(file, recipe.to_toml())
    return folder


def run_study(experiment: Experiment, folder: Path, only: str | None = None) -> None:
    """Run every stage that is not done, or one stage alone.

    Args:
        experiment: the recipe, ready to run.
        folder: from :func:`study_folder`.
        only: name of a stage.

    Raises:
        BadInput: there is no such stage, or a stage it needs is not done.
        Interrupted: another machine is at work on a stage that the rest needs.
    """
    todo = pending(experiment.recipe, folder, only)
    experiment.view.total_steps = sum(len(_schedule(experiment, stage)) for stage in todo)
    for stage in todo:
        with _lock(stage, folder):
            _run(stage, experiment, folder)


def pending(recipe: Recipe, folder: Path, only: str | None = None) -> list[Stage]:
    """Stages to run now, in order.

    Raises:
        BadInput: ``only`` names no stage, or one that still waits for others.
    """
    every = stages(recipe)
    done = {stage.name for stage in every if stage.result(folder).exists()}
    if only is None:
        # The report is cheap and shows whatever else was just run.
        return [stage for stage in every if stage.name not in done or stage.kind == "report"]
    chosen = [stage for stage in every if stage.name == only]
    if not chosen:
        raise BadInput(f"no stage {only!r}; stages: {', '.join(stage.name for stage in every)}")
    waiting_for = [name for name in chosen[0].needs if name not in done and chosen[0].kind != "report"]
    if waiting_for:
        raise BadInput(f"stage {only} needs the results of: {', '.join(waiting_for)}")
    return [stage for stage in chosen if stage.name not in done or stage.kind == "report"]


def _schedule(experiment: Experiment, stage: Stage) -> Sequence[Any]:
    """Batches of a training stage; the length does not depend on the order of a curriculum."""
    if stage.kind not in ("single", "curriculum", "joint"):
        return ()
    tasks = [stage.subject] if stage.kind == "single" else list(experiment.recipe.tasks)
    plan = RunPlan(stage.name, "joint" if stage.kind == "joint" else "curriculum", tuple(tasks), stage.seed)
    return experiment.batches(plan)


def dry_run(experiment: Experiment, folder: Path) -> list[dict[str, Any]]:
    """What every stage would cost: training prompts, steps, most completion tokens, and whether it is done."""
    recipe = experiment.recipe
    rows = []
    for stage in stages(recipe):
        schedule = _schedule(experiment, stage)
        drawn = Counter(item.task for batch in schedule for item in batch)
        completions = Counter({task: count * recipe.sampling_of(task).completions for task, count in drawn.items()})
        if stage.kind not in ("plan", "report"):
            completions += _measurements(experiment, len(schedule), set(drawn))
        rows.append(
            {
                "stage": stage.name,
                "done": stage.result(folder).exists(),
                "prompts": drawn.total(),
                "steps": len(schedule),
                "completions": completions.total(),
                "most_tokens": sum(n * recipe.sampling_of(task).max_new_tokens for task, n in completions.items()),
            }
        )
    return rows


def _measurements(experiment: Experiment, steps: int, trained: Collection[str]) -> Counter[str]:
    """Completions per task that evaluations and validations of a stage draw, the evaluation at its end included."""
    settings = experiment.recipe.evaluation
    held_out = {task: len(prompts) for task, prompts in experiment.test_prompts.items()}
    if settings.validation_items:
        validations = -(-steps // settings.every)
        found = Counter({task: validations * len(experiment.validation_prompts[task]) for task in trained})
        evaluations = 1
    else:
        found = Counter()
        evaluations = 1 + (max(steps - 1, 0) // settings.every if settings.every else 0)
    return found + Counter({task: 2 * evaluations * count for task, count in held_out.items()})


def _run(stage: Stage, experiment: Experiment, folder: Path) -> None:
    recipe = experiment.recipe
    seed = recipe.seed + stage.seed
    match stage.kind:
        case "base":
            started = time.monotonic()
            experiment.view.note("measuring the base model on held-out items")
            with experiment.resources.ledger.of_run(make_folder(stage.folder(folder)) / runs.LEDGER):
                results = experiment.evaluate_base()
                manifest = experiment.manifest("base", results, time.monotonic() - started)
            write_json(stage.result(folder), manifest)
        case "single":
            experiment.run(runs.single(stage.subject, seed), stage.folder(folder))
        case "joint":
            experiment.run(runs.together("joint", list(recipe.tasks), seed), stage.folder(folder))
        case "curriculum":
            experiment.run(runs.curriculum(resolve_order(stage.subject, recipe, folder), seed), stage.folder(folder))
        case "plan":
            write_json(folder / "accuracies.json", accuracy_table(recipe, folder))
            plan = make_plan(read_accuracies(folder / "accuracies.json"))
            write_json(stage.result(folder), plan_to_json(plan))
        case "report":
            from omnithinker.report import write_report

            experiment.view.note("writing the report")
            write_report(folder)


def resolve_order(order: str, recipe: Recipe, folder: Path) -> list[str]:
    """Turn ``best``, ``worst`` or ``a>b>c`` into task names."""
    if order in ("best", "worst"):
        plan = read_json(folder / "plan.json")
        return list(plan["order"] if order == "best" else plan["worst"])
    return parse_order(order.replace(">", ","), list(recipe.tasks))


def accuracy_table(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """What ``omnithinker plan`` reads: greedy accuracies of the base and after each single-task run.

    With several seeds, accuracies and per-item outcomes are means over seeds. ``probes`` hold the accuracies that
    were measured during the single-task runs, by fraction of the run.
    """
    tasks = list(recipe.tasks)
    base = read_results(folder / "base" / RESULT)
    after: dict[str, dict[str, float]] = {}
    items = {"base": {task: list(base[task].outcomes) for task in tasks}}
    probes: dict[float, dict[str, dict[str, float]]] = {}
    for trained in tasks:
        group = [stage for stage in stages(recipe) if stage.kind == "single" and stage.subject == trained]
        results = [read_results(stage.result(folder)) for stage in group]
        after[trained] = {task: _mean([result[task].accuracy for result in results]) for task in tasks}
        items[trained] = {task: _mean_items([result[task].outcomes for result in results]) for task in tasks}
        steps = read_json(group[0].result(folder))["measured_step"]  # where a run ends as far as its result goes
        for file in sorted((group[0].folder(folder) / "eval").glob("step-*.json")):
            step = read_json(file)["step"]
            if step < steps:
                probe = {task: result.accuracy for task, result in read_results(file).items()}
                probes.setdefault(round(step / steps, 3), {})[trained] = probe
    return {
        "tasks": tasks,
        "base": {task: base[task].accuracy for task in tasks},
        "after": after,
        "n": {task: base[task].n for task in tasks},
        "items": items,
        "probes": [{"fraction": f, "after": probes[f]} for f in sorted(probes) if len(probes[f]) == len(tasks)],
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_items(outcomes: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Per item, the mean over seeds of the outcomes that are defined."""
    columns = [[value for value in column if value is not None] for column in zip(*outcomes, strict=True)]
    return [_mean(column) if column else None for column in columns]


@contextlib.contextmanager
def _lock(stage: Stage, folder: Path) -> Iterator[None]:
    """Hold a stage while it runs, so that a second process leaves it alone."""
    if stage.kind in ("plan", "report"):
        yield
        return
    file = make_folder(stage.folder(folder)) / LOCK
    holder = holder_of(stage, folder)
    if holder is None:
        file.unlink(missing_ok=True)  # left by a process that is gone
        try:
            with file.open("x", encoding="utf-8") as stream:
                json.dump({"host": socket.gethostname(), "pid": os.getpid()}, stream)
        except FileExistsError:
            holder = holder_of(stage, folder) or {}  # another process was faster
    if holder is not None:
        raise Interrupted(
            f"stage {stage.name} is running on {holder.get('host', 'another machine')} "
            f"(process {holder.get('pid', 'unknown')}); start this command again when it is done"
        )
    released = threading.Event()
    beat = threading.Thread(target=_keep_fresh, args=(file, released), name="stage lock", daemon=True)
    beat.start()
    try:
        yield
    finally:
        released.set()
        beat.join()
        file.unlink(missing_ok=True)


def _keep_fresh(lock: Path, released: threading.Event) -> None:
    """Touch the lock of a stage now and then: a long step or evaluation writes nothing, and is still alive."""
    while not released.wait(BEAT_S):
        with contextlib.suppress(FileNotFoundError):  # taken away by hand; the stage goes on
            os.utime(lock)
