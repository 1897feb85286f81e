"""Recipes that come with the package, found by name."""

from __future__ import annotations

from pathlib import Path

from omnithinker.config.registry import nearest
from omnithinker.errors import RecipeError
from omnithinker.io.files import read_text

RECIPES_PATH = Path(__file__).resolve().parents[1] / "recipes"
"""Folder of the shipped recipes: package data, one TOML file each."""


def shipped_recipes() -> dict[str, Path]:
    """Return the files of the shipped recipes by name, sorted."""
    return dict(sorted((path.stem, path) for path in RECIPES_PATH.glob("*.toml")))


def description_of(path: Path) -> str:
    """Return a recipe's one-line description: the first line of its leading comment."""
    first = read_text(path, RecipeError).partition("\n")[0]
    return first.lstrip("# ").rstrip(". :") if first.startswith("#") else ""


def shipped_recipe(name: str) -> Path:
    """Return the file of a shipped recipe.

    Raises:
        RecipeError: if there is no such recipe; names the nearest one.
    """
    shipped = shipped_recipes()
    if name not in shipped:
        raise RecipeError(f"no shipped recipe {name!r}{nearest(name, shipped)}")
    return shipped[name]


def find_recipe(recipe: str | Path) -> Path:
    """Return the file that a recipe argument means: a path if it exists, else a shipped recipe's name.

    Raises:
        RecipeError: if a bare name is neither; names the nearest shipped recipe.
    """
    path, name, shipped = Path(recipe), str(recipe), shipped_recipes()
    if name in shipped and not path.is_file():
        return shipped[name]
    if path.name == name and not path.exists():
        raise RecipeError(f"{name}: no such file, and no shipped recipe of that name{nearest(path.stem, shipped)}")
    return path
