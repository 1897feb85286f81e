"""``omnithinker train``: one training run."""

from __future__ import annotations

import argparse

from omnithinker.cli.evaluate import results_table
from omnithinker.cli.options import add_recipe, read_recipe
from omnithinker.config.registry import SCHEDULES
from omnithinker.train.commands import train_model
from omnithinker.ui.console import SafeConsole
from omnithinker.ui.view import View


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument("--task", metavar="NAME", help="train on this task alone; default: the recipe's only task")
    parser.add_argument("--schedule", choices=tuple(SCHEDULES), help="train on all tasks under this schedule")
    parser.add_argument("--order", metavar="A,B,C", help="task order of a curriculum; default: order of the recipe")
    parser.add_argument("--output", metavar="DIR", help="run folder; default: the recipe's output with the run's name")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    console = SafeConsole()
    result = train_model(
        read_recipe(args),
        task=args.task,
        schedule=args.schedule,
        order=args.order.split(",") if args.order else None,
        output=args.output,
        view=View(console),
    )
    console.print(results_table(result.evaluation))
    console.print(f"\nrun folder: {result.folder}", highlight=False, markup=False, soft_wrap=True)
