"""``omnithinker train``: one training run."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from omnithinker.cli.options import add_recipe, known_task, read_recipe
from omnithinker.config.file import changed_settings, load_recipe
from omnithinker.config.recipe import Recipe, parse_order
from omnithinker.errors import BadInput

SCHEDULES = ("curriculum", "joint", "mixture", "adaptive")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument("--schedule", choices=SCHEDULES, help="how the tasks follow each other")
    parser.add_argument("--order", metavar="A,B,C", help="task order of a curriculum; by default that of the recipe")
    parser.add_argument("--task", metavar="NAME", help="train on this task alone")
    parser.add_argument("--output", metavar="DIR", help="run folder; by default the recipe's, with the run's name")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    recipe = read_recipe(args)
    if (args.task is None) == (args.schedule is None):
        raise BadInput(
            "say what to train: --task NAME, --schedule curriculum --order A,B,C, or all tasks at a time with "
            "--schedule joint, mixture or adaptive"
        )
    if args.order and args.schedule != "curriculum":
        raise BadInput("--order goes with --schedule curriculum")
    order = parse_order(args.order, list(recipe.tasks)) if args.order else list(recipe.tasks)
    if args.task:
        known_task(recipe, args.task)

    from omnithinker.study import experiment as runs
    from omnithinker.ui.view import View

    if args.task:
        plan, slug = runs.single(args.task, recipe.seed), f"single-{args.task}"
    elif args.schedule == "curriculum":
        plan, slug = runs.curriculum(order, recipe.seed), "curriculum-" + "-".join(order)
    else:
        plan, slug = runs.together(args.schedule, list(recipe.tasks), recipe.seed), args.schedule
    folder = Path(args.output) if args.output else Path(f"{recipe.output}-{slug}")
    refuse_other_settings(folder, recipe)
    console = Console()
    with View(console) as view, runs.Experiment(recipe, view) as experiment:
        view.total_steps = len(experiment.schedule(plan))
        results = experiment.run(plan, folder)

    from omnithinker.cli.evaluate import results_table

    console.print(results_table(results))
    console.print(f"\nrun folder: {folder}", highlight=False, soft_wrap=True)


def refuse_other_settings(folder: Path, recipe: Recipe) -> None:
    """Make sure that a run goes on under the settings it was started with.

    Raises:
        BadInput: the folder holds a run under other settings.
    """
    file = folder / "recipe.toml"
    changes = changed_settings(load_recipe(file), recipe) if file.exists() else []
    if changes:
        raise BadInput(
            f"{folder} holds a run under other settings ({'; '.join(changes[:3])}{' …' if len(changes) > 3 else ''}); "
            "remove the folder, or choose another with --output"
        )
