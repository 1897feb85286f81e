"""``omnithinker check``: find mistakes in a recipe before training."""

from __future__ import annotations

import argparse
import json

from rich.markup import escape

from omnithinker.cli.options import add_recipe, read_recipe
from omnithinker.data.sources import require_data
from omnithinker.errors import BadInput
from omnithinker.ui.console import SafeConsole, say

LISTED = 5
"""Failing rows listed per reward without ``--all``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument(
        "--rows", type=int, default=100, metavar="N", help="rows per task to try rewards on; 0 for all (default 100)"
    )
    parser.add_argument(
        "--generate",
        type=int,
        default=0,
        metavar="N",
        help="sample completions of N prompts per task from the model, show them with their rewards, and warn if "
        "nothing can be learnt from them (default 0)",
    )
    parser.add_argument(
        "--all", action="store_true", help=f"list all failing rows instead of {LISTED} per reward, and whole samples"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        0 without problems, else 2.
    """
    recipe = read_recipe(args)
    if args.rows < 0:
        raise BadInput(f"--rows {args.rows}: must be a number of rows, or 0 for all")
    if args.generate < 0:
        raise BadInput(f"--generate {args.generate}: must be a number of prompts, or 0 for none")
    require_data(recipe.tasks.values())

    from omnithinker.checks import check_recipe
    from omnithinker.checks.show import show

    console = SafeConsole(stderr=True)
    if console.is_terminal:
        with console.status("checking") as status:
            report = check_recipe(
                recipe, rows=args.rows, generate=args.generate, note=lambda text: status.update(escape(text))
            )
    else:
        report = check_recipe(recipe, rows=args.rows, generate=args.generate, note=say)
    if args.json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        show(report, SafeConsole(), listed=None if args.all else LISTED)
    return 0 if report.ok else 2
