"""The check of a recipe, section by section."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omnithinker.checks.cost import check_memory, check_tokens
from omnithinker.checks.data import TaskRows, check_data
from omnithinker.checks.model import check_model
from omnithinker.checks.report import Report, Section
from omnithinker.checks.rewards import Bench, ComponentCheck, check_component, judge_usage, sample_rows
from omnithinker.config.file import as_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.errors import OmniThinkerError
from omnithinker.io.trackers import missing
from omnithinker.rewards.registry import Resources, build_component, build_components


def check_recipe(recipe: Recipe | str | Path, *, rows: int = 100) -> Report:
    """Find mistakes in a recipe before training: model, data, rewards, sandbox, judges, trackers, memory, tokens.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        rows: rows per task on which rewards are tried, sampled with the recipe's seed; 0 for all.

    Raises:
        RecipeError: if the recipe is not valid. All other problems are in the report.
    """
    recipe = as_recipe(recipe)
    model, outline = check_model(recipe.model)
    chats = outline is not None and outline.policy.tokenizer.hf.chat_template is not None
    data, tasks = check_data(recipe, outline.policy.tokenizer.encode if outline and chats else None)
    settings = Section("recipe", {"seed": recipe.seed, "output": recipe.output, "tasks": list(recipe.tasks)})
    # Connections of a judge belong to the scorer's event loop, so what rewards share is closed first.
    with Bench() as bench, Resources(recipe) as resources:
        sandbox = check_sandbox(recipe, resources)
        rewards = check_rewards(recipe, resources, bench, tasks, rows, has_sandbox=not sandbox.problems)
        judges = Section("judges", {"judges": judge_usage(resources, recipe)})
    sections = [settings, model, data, rewards, sandbox, judges, check_trackers(recipe)]
    if outline is not None and chats:
        sections += [check_memory(recipe, outline, tasks), check_tokens(recipe, tasks)]
    return Report(tuple(sections))


def check_sandbox(recipe: Recipe, resources: Resources) -> Section:
    """Open the sandbox, if a task runs code."""
    if not any(_runs_code(recipe, task) for task in recipe.tasks):
        return Section("sandbox", {"needed": False})
    data = {"needed": True, "backend": recipe.sandbox.backend, "required": recipe.sandbox.level}
    try:
        sandbox = resources.sandbox()
    except OmniThinkerError as error:
        return Section("sandbox", data, (str(error),))
    warning = "programs are confined by process limits alone; use it only with models that you trust"
    notes = (warning,) if sandbox.level == "weak" else ()
    found = {"level": sandbox.level, "layers": list(sandbox.layers), "slots": sandbox.slots}
    return Section("sandbox", data | found, (), notes)


def check_trackers(recipe: Recipe) -> Section:
    """Look for the packages of the trackers that the recipe names."""
    problem = missing(recipe.trackers)
    return Section("trackers", {"trackers": list(recipe.trackers)}, (problem,) if problem else ())


def check_rewards(
    recipe: Recipe, resources: Resources, bench: Bench, tasks: dict[str, TaskRows], rows: int, *, has_sandbox: bool
) -> Section:
    """Try every component of every task on answers whose value is known."""
    checks, problems, notes = [], [], []
    for task, found in tasks.items():
        try:
            if has_sandbox or not _runs_code(recipe, task):
                build_components(task, recipe.tasks[task].rewards, resources)
        except OmniThinkerError as error:
            problems.append(str(error))
            continue
        sample = sample_rows(found.rows, rows, recipe.seed)
        for name, settings in recipe.tasks[task].rewards.items():
            if (settings.kind or name) == "unit_tests" and not has_sandbox:
                notes.append(f"tasks.{task}.rewards.{name}: not tried, there is no sandbox")
                continue
            component = build_component(task, name, settings, resources)
            check = check_component(bench, component, settings, recipe, sample, task)
            checks.append(check)
            problems += _problems(check)
            notes += _notes(check)
    return Section("rewards", {"components": [check.to_json() for check in checks]}, tuple(problems), tuple(notes))


def _runs_code(recipe: Recipe, task: str) -> bool:
    return any((reward.kind or name) == "unit_tests" for name, reward in recipe.tasks[task].rewards.items())


def _problems(check: ComponentCheck) -> list[str]:
    """One line per probe that failed somewhere, and one for what stopped the check."""
    place = f"tasks.{check.task}.rewards.{check.name}"
    lines = [f"{place}: {check.error}"] if check.error else []
    for probe, tally in check.tallies.items():
        failed = [failure for failure in check.failures if failure.probe == probe]
        if failed:
            wanted = "a verdict" if tally.expected is None else f"{tally.expected:g}"
            first = failed[0]
            got = "undefined" if first.value is None else f"{first.value:g}"
            why = f" ({first.cause})" if first.cause else ""
            lines.append(
                f"{place}: {probe}: {len(failed)} of {tally.of} did not get {wanted}; first {first.place}: {got}{why}"
            )
    return lines


def _notes(check: ComponentCheck) -> list[str]:
    place = f"tasks.{check.task}.rewards.{check.name}"
    notes = []
    if check.kind == "unit_tests" and check.rows and "reference solution" not in check.tallies:
        notes.append(f"{place}: no row has a reference solution, so it is not known whether the tests can be passed")
    if check.weak_tests:
        notes.append(
            f"{place}: {len(check.weak_tests)} of {check.rows} rows have tests that a constant passes "
            f"({_first(check.weak_tests)})"
        )
    return notes


def _first(places: Sequence[str]) -> str:
    return places[0] + (", ..." if len(places) > 1 else "")
