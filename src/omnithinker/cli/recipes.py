"""``omnithinker recipes``: list the shipped recipes, or print one. Needs no torch."""

from __future__ import annotations

import argparse
import sys

from omnithinker.config.shipped import description_of, shipped_recipe, shipped_recipes
from omnithinker.io.files import read_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this recipe instead of the list")


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        RecipeError: if there is no such recipe.
    """
    if args.name:
        sys.stdout.write(read_text(shipped_recipe(args.name)))
        return
    recipes = shipped_recipes()
    width = max(map(len, recipes))
    for name, path in recipes.items():
        print(f"{name:<{width}}  {description_of(path)}")
