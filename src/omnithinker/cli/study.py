"""``omnithinker study``: all stages from the base evaluation to the report, resumable at every step."""

from __future__ import annotations

import argparse
from pathlib import Path

from omnithinker.cli.options import add_recipe, read_recipe
from omnithinker.study.commands import run_study
from omnithinker.study.status import status
from omnithinker.ui.console import SafeConsole
from omnithinker.ui.view import View


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument("--output", metavar="DIR", help="study folder; default: the recipe's output")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--stage", metavar="NAME", help="run one stage alone, such as single:math")
    what.add_argument("--status", action="store_true", help="list the stages with their results and exit")
    what.add_argument("--dry-run", action="store_true", help="list the stages with their cost and exit")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    recipe, console = read_recipe(args), SafeConsole()
    if args.output:
        recipe = recipe.model_copy(update={"output": args.output})
    from omnithinker.report import dry_run_table, print_summary, status_table

    if args.status:
        console.print(status_table(status(recipe, Path(recipe.output))))
        return
    if args.dry_run:
        # These import torch; a bad recipe or --status must not wait for it.
        from omnithinker.study.cost import dry_run
        from omnithinker.train.context import RunContext

        with RunContext(recipe, View(console).note) as context:
            console.print(dry_run_table(dry_run(context, Path(recipe.output))))
        return
    result = run_study(recipe, stage=args.stage, view=View(console))
    if args.stage in (None, "report"):
        print_summary(result.folder, console)
        console.print(f"\nreport: {result.report}", highlight=False, markup=False, soft_wrap=True)
