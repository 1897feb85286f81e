"""The check of a recipe, section by section."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omnithinker.checks.cost import check_memory, check_tokens
from omnithinker.checks.data import Encode, TaskRows, check_data
from omnithinker.checks.model import check_model
from omnithinker.checks.prompts import first_prompts
from omnithinker.checks.report import Report, Section
from omnithinker.checks.rewards import (
    ComponentCheck,
    ProbeScorer,
    check_component,
    judge_calls_per_step,
    judge_usage,
    sample_rows,
)
from omnithinker.checks.samples import check_samples
from omnithinker.config.file import as_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.config.rewards import RewardSettings
from omnithinker.errors import BadInput, OmniThinkerError
from omnithinker.io.trackers import missing
from omnithinker.policy.tokenizer import ChatTokenizer
from omnithinker.rewards.components import build_component, build_components, reward_class
from omnithinker.rewards.resources import Resources
from omnithinker.schedules.curriculum import limit_steps
from omnithinker.tasks.messages import Message

NOT_SAMPLED = "nothing was sampled, because the model has problems"


def check_recipe(
    recipe: Recipe | str | Path,
    *,
    rows: int = 100,
    generate: int = 0,
    note: Callable[[str], None] | None = None,
) -> Report:
    """Find mistakes in a recipe before training: model, data, rewards, sandbox, judges, trackers, memory, tokens.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        rows: rows per task on which rewards are tried, sampled with the recipe's seed; 0 for all.
        generate: prompts per task for which completions are sampled from the model; 0 samples none.
        note: receives messages about the progress; by default there are none.

    Raises:
        RecipeError: if the recipe is not valid. All other problems are in the report.
    """
    recipe = as_recipe(recipe)
    model, outline = check_model(recipe.model)
    chats = outline is not None and outline.policy.tokenizer.hf.chat_template is not None
    data, tasks = check_data(recipe, _encoder(recipe, outline.policy.tokenizer) if outline and chats else None)
    # Resources are closed before the scorer, because a judge's connections belong to the scorer's event loop.
    with ProbeScorer() as scorer, Resources(recipe) as resources:
        sandbox = check_sandbox(recipe, resources)
        rewards = check_rewards(recipe, resources, scorer, tasks, rows, has_sandbox=not sandbox.problems)
        samples = None
        if generate and outline is not None and chats and not model.problems:
            samples = check_samples(recipe, resources, scorer, tasks, generate, note or _ignore)
        elif generate:
            samples = Section("samples", {"prompts": generate, "tasks": {}}, (), (NOT_SAMPLED,))
        judges = check_judges(recipe, resources)
    prompts = [first_prompts(recipe, tasks, outline.policy.tokenizer)] if outline and chats else []
    sections = [check_settings(recipe), model, data, *prompts, rewards, sandbox, judges, check_trackers(recipe)]
    if outline is not None and chats:
        sections += [check_memory(recipe, outline, tasks), check_tokens(recipe, tasks)]
    if samples is not None:
        sections.append(samples)
    return Report(tuple(sections))


def _ignore(text: str) -> None:
    """Drop a message."""


def _encoder(recipe: Recipe, tokenizer: ChatTokenizer) -> Encode:
    """Return the function that measures prompts; of one far over the limit, only as much as exceeds the limit."""
    most = tokenizer.most_characters(recipe.sampling.max_prompt_tokens)

    def encode(messages: Sequence[Message], template_kwargs: Mapping[str, Any]) -> tuple[int, ...]:
        shortened = [{**message, "content": message["content"][:most]} for message in messages]
        return tokenizer.encode(shortened, template_kwargs)

    return encode


def check_settings(recipe: Recipe) -> Section:
    """Check that settings fit together in the study."""
    data = {"seed": recipe.seed, "output": recipe.output, "tasks": list(recipe.tasks)}
    steps, problems = recipe.training.max_steps, []
    if recipe.study.orders and steps is not None:
        try:
            limit_steps(dict.fromkeys(recipe.tasks, steps), steps)
        except BadInput as error:
            problems.append(str(error))
    return Section("recipe", data, tuple(problems))


def check_sandbox(recipe: Recipe, resources: Resources) -> Section:
    """Open the sandbox if a reward needs it."""
    if not any(_needs_sandbox(recipe, task) for task in recipe.tasks):
        return Section("sandbox", {"needed": False})
    data: dict[str, Any] = {"needed": True, "backend": recipe.sandbox.backend, "required": recipe.sandbox.level}
    try:
        sandbox = resources.sandbox()
    except OmniThinkerError as error:
        return Section("sandbox", data, (str(error),))
    warning = "programs are confined by process limits only; use this level only with models that you trust"
    notes = (warning,) if sandbox.level == "weak" else ()
    data |= {"level": sandbox.level, "layers": list(sandbox.layers), "slots": sandbox.slots}
    return Section("sandbox", data, (), notes)


def check_judges(recipe: Recipe, resources: Resources) -> Section:
    """Report what the judges of this check cost, and how often a training step calls them."""
    notes = [
        f"judges.{name}: up to {calls:,} calls in a training step, retries not included"
        for name, calls in judge_calls_per_step(recipe).items()
    ]
    return Section("judges", {"judges": judge_usage(resources, recipe)}, (), tuple(notes))


def check_trackers(recipe: Recipe) -> Section:
    """Check that the packages of the recipe's trackers are installed."""
    problem = missing(recipe.trackers)
    return Section("trackers", {"trackers": list(recipe.trackers)}, (problem,) if problem else ())


def check_rewards(
    recipe: Recipe,
    resources: Resources,
    scorer: ProbeScorer,
    tasks: dict[str, TaskRows],
    rows: int,
    *,
    has_sandbox: bool,
) -> Section:
    """Score every component of every task on completions with a known value."""
    checks, problems, notes = [], [], []
    for task, task_rows in tasks.items():
        if not recipe.tasks[task].rewards:
            notes.append(f"tasks.{task}: has no reward, so it serves 'omnithinker sft' only")
            continue
        try:
            if has_sandbox or not _needs_sandbox(recipe, task):
                build_components(task, recipe.tasks[task].rewards, resources)
        except OmniThinkerError as error:
            problems.append(str(error))
            continue
        sample = sample_rows(task_rows.rows, rows, recipe.seed)
        for name, settings in recipe.tasks[task].rewards.items():
            if reward_class(settings).needs_sandbox and not has_sandbox:
                notes.append(f"tasks.{task}.rewards.{name}: not checked, because there is no sandbox")
                continue
            component = build_component(task, name, settings, resources)
            check = check_component(scorer, component, settings, recipe, sample, task)
            checks.append(check)
            problems += _problems(check)
            notes += _notes(check, settings, tried=bool(sample))
    return Section("rewards", {"components": [check.to_json() for check in checks]}, tuple(problems), tuple(notes))


def _needs_sandbox(recipe: Recipe, task: str) -> bool:
    return any(reward_class(settings).needs_sandbox for settings in recipe.tasks[task].rewards.values())


def _problems(check: ComponentCheck) -> list[str]:
    """Return one line per failed probe, and one for an error that stopped the check."""
    place = f"tasks.{check.task}.rewards.{check.name}"
    lines = [f"{place}: {check.error}"] if check.error else []
    for probe, tally in check.tallies.items():
        failed = [failure for failure in check.failures if failure.probe == probe]
        if failed:
            expected = "have no verdict" if tally.expected is None else f"did not score {tally.expected:g}"
            first = failed[0]
            value = "undefined" if first.value is None else f"{first.value:g}"
            cause = f" ({first.cause})" if first.cause else ""
            lines.append(
                f"{place}: {probe}: {len(failed)} of {tally.of} {expected}; first {first.place}: {value}{cause}"
            )
    return lines


def _notes(check: ComponentCheck, settings: RewardSettings, *, tried: bool) -> list[str]:
    place = f"tasks.{check.task}.rewards.{check.name}"
    missing = reward_class(settings).missing_probe_notes
    notes = [
        f"{place}: {note}"
        for probe, note in missing.items()
        if tried and not check.error and probe not in check.tallies
    ]
    if check.weak_tests:
        notes.append(
            f"{place}: {len(check.weak_tests)} of {check.rows} rows have tests that constant output passes "
            f"({_first(check.weak_tests)})"
        )
    return notes


def _first(places: Sequence[str]) -> str:
    return places[0] + (", ..." if len(places) > 1 else "")
