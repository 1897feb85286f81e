"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse

from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add ``RECIPE`` and ``--set``."""
    parser.add_argument("recipe", metavar="RECIPE", help="TOML file, or name of a shipped recipe (omnithinker recipes)")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, such as training.epochs=2; repeatable",
    )


def read_recipe(args: argparse.Namespace) -> Recipe:
    """Load the recipe that the arguments name."""
    return load_recipe(args.recipe, args.overrides)
