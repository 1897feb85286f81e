"""``omnithinker report``: HTML report and tables of a study or run folder. Needs no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from omnithinker.ui.console import SafeConsole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of a study or run, finished or not")
    parser.add_argument("--quiet", action="store_true", help="print only the name of the file")


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        BadInput: if the folder holds no study or run, or a damaged file.
    """
    from omnithinker.report import print_summary, write_report

    console = SafeConsole()
    file = write_report(args.folder)
    if not args.quiet:
        print_summary(args.folder, console)
        console.print()
    console.print(f"report: {file}", highlight=False, markup=False, soft_wrap=True)
