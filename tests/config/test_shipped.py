"""Recipes in the package: found by name from any folder, and complete without files around them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omnithinker.config.file import load_recipe
from omnithinker.config.shipped import RECIPES_PATH, description_of, find_recipe, shipped_recipes
from omnithinker.errors import RecipeError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_is_found_by_name(name):
    recipe = load_recipe(name)
    assert recipe.output == f"runs/{name}"
    assert description_of(find_recipe(name))
    # "init --from" copies the file: nothing beside it may be missing.
    assert all(task.train is None and task.test is None for task in recipe.tasks.values())


def test_a_file_wins_over_a_shipped_recipe_and_a_folder_does_not(tmp_path):
    (tmp_path / "lab").mkdir()
    assert find_recipe("lab") == RECIPES_PATH / "lab.toml"
    (tmp_path / "lab-quick").write_text('[tasks.mine]\ndata = "lab:qa"\nrewards.format = 1.0\n')
    assert list(load_recipe("lab-quick").tasks) == ["mine"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lab-quik", "lab-quik: no such file, and no shipped recipe of that name; did you mean 'lab-quick'?"),
        (
            "lab-quick.toml",
            "lab-quick.toml: no such file, and no shipped recipe of that name; did you mean 'lab-quick'?",
        ),
        ("zzz", "zzz: no such file, and no shipped recipe of that name; known: lab, lab-quick, smollm2, starter"),
        ("folder/lab.toml", "folder/lab.toml: cannot be read: No such file or directory"),
    ],
)
def test_an_unknown_recipe_is_one_line(name, message):
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)
    assert str(caught.value) == message


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        load_recipe(tmp_path)


def test_files_of_a_shipped_recipe_are_read_from_the_package_and_written_to_the_current_folder():
    judge = {"judges.default": {"kind": "chat", "model": "m", "cache": "replies.sqlite", "template": "judge.txt"}}
    settings = load_recipe("lab-quick", judge).judges["default"]
    assert settings.cache == os.path.join(Path.cwd(), "replies.sqlite")
    assert settings.template == str(RECIPES_PATH / "judge.txt")
