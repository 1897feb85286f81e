"""``omnithinker train``: one training run."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from omnithinker.cli.options import add_recipe, known_task, read_recipe
from omnithinker.config.recipe import Recipe, parse_order
from omnithinker.config.registry import SCHEDULES
from omnithinker.errors import BadInput
from omnithinker.schedules.plan import RunPlan, schedule_class


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument("--task", metavar="NAME", help="train on this task alone")
    parser.add_argument("--schedule", choices=tuple(SCHEDULES), help="train on all tasks under this schedule")
    parser.add_argument("--order", metavar="A,B,C", help="task order of a curriculum; default: order of the recipe")
    parser.add_argument("--output", metavar="DIR", help="run folder; default: the recipe's output with the run's name")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    recipe = read_recipe(args)
    plan = read_plan(args, recipe)

    from omnithinker.cli.evaluate import results_table
    from omnithinker.train.context import RunContext
    from omnithinker.train.run import run_training
    from omnithinker.ui.view import View

    folder = Path(args.output) if args.output else Path(f"{recipe.output}-{plan.folder_name}")
    console = Console()
    with View(console) as view, RunContext(recipe, view.note) as context:
        results = run_training(context, plan, folder, view)
    console.print(results_table(results))
    console.print(f"\nrun folder: {folder}", highlight=False, soft_wrap=True)


def read_plan(args: argparse.Namespace, recipe: Recipe) -> RunPlan:
    """Return the run that the arguments select.

    Raises:
        BadInput: if the arguments contradict each other or the recipe.
    """
    if (args.task is None) == (args.schedule is None):
        raise BadInput(f"select a run: --task NAME for one task, or --schedule {'|'.join(SCHEDULES)} for all tasks")
    if args.order and (args.schedule is None or not schedule_class(args.schedule).ordered):
        raise BadInput("--order requires --schedule curriculum")
    if args.task:
        return RunPlan.single_task(known_task(recipe, args.task), recipe.seed)
    tasks = list(recipe.tasks)
    return RunPlan(args.schedule, tuple(parse_order(args.order, tasks) if args.order else tasks), recipe.seed)
