"""``omnithinker study``: the whole experiment, resumable at every level."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from omnithinker.cli.options import add_recipe, read_recipe
from omnithinker.study.stages import status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument("--stage", metavar="NAME", help="run one stage alone, such as single:math")
    parser.add_argument("--status", action="store_true", help="list the stages with their numbers, run nothing")
    parser.add_argument("--dry-run", action="store_true", help="list the stages with their cost, run nothing")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    recipe, console = read_recipe(args), Console()
    from omnithinker.report import dry_run_table, print_summary, status_table

    if args.status:
        console.print(status_table(status(recipe, Path(recipe.output))))
        return
    # torch is imported with these, after the recipe has been found to be good.
    from omnithinker.study.experiment import Experiment
    from omnithinker.study.runner import dry_run, run_study, study_folder
    from omnithinker.ui.view import View

    if args.dry_run:
        with Experiment(recipe, View(console)) as experiment:
            console.print(dry_run_table(dry_run(experiment, Path(recipe.output))))
        return
    with View(console) as view, Experiment(recipe, view) as experiment:
        folder = study_folder(recipe)
        run_study(experiment, folder, args.stage)
    if args.stage in (None, "report"):
        print_summary(folder, console)
        console.print(f"\nreport: {folder / 'report.html'}", highlight=False, soft_wrap=True)
