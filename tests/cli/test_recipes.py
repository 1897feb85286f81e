"""``recipes`` and ``init``: what is shipped is listed, printed and copied; nothing is overwritten."""

from __future__ import annotations

import re

import pytest

from omnithinker.cli import main
from omnithinker.config.file import load_recipe
from omnithinker.config.shipped import shipped_recipes


def test_recipes_are_listed_with_their_descriptions(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped_recipes())
    assert re.fullmatch(r"lab-quick +The whole experiment on the built-in lab, in minutes.*", lines[1].strip())


def test_a_recipe_is_printed(capsys):
    assert main(["recipes", "lab"]) == 0
    assert capsys.readouterr().out == shipped_recipes()["lab"].read_text()
    assert main(["recipes", "labb"]) == 2
    assert capsys.readouterr().err == "omnithinker recipes: no shipped recipe 'labb'; did you mean 'lab'?\n"


def test_init_writes_a_recipe_that_check_accepts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "my.toml"]) == 0
    assert capsys.readouterr().out == "wrote my.toml; edit it, then run: omnithinker check my.toml\n"
    assert (tmp_path / "my.toml").read_text().count("#") > 10
    assert load_recipe("my.toml").output == "runs/my"
    assert main(["check", "my.toml", "--rows", "3", "--set", "sandbox.cpu_seconds=0.5"]) == 0
    assert "no problems" in capsys.readouterr().out


def test_init_copies_any_shipped_recipe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "mine.toml", "--from", "lab"]) == 0
    assert (tmp_path / "mine.toml").read_text() == shipped_recipes()["lab"].read_text()
    assert main(["init", "other.toml", "--from", "lap"]) == 2
    assert "no shipped recipe 'lap'; did you mean 'lab'?" in capsys.readouterr().err
    assert not (tmp_path / "other.toml").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my.toml", "my.toml already exists; choose another name or remove it"),
        ("folder/my.toml", "folder/my.toml: cannot be written: No such file or directory"),
    ],
)
def test_init_refuses_what_it_cannot_write(name, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text("mine")
    assert main(["init", name]) == 2
    assert capsys.readouterr().err == f"omnithinker init: {message}\n"
    assert (tmp_path / "my.toml").read_text() == "mine"
