"""Rows of the package reasoning-gym."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from omnithinker.config.recipe import Recipe
from omnithinker.data.sources import read_source
from omnithinker.errors import BadInput, DataError
from omnithinker.rewards.resources import Resources
from omnithinker.tasks.base import load_tasks, read_split

pytest.importorskip("reasoning_gym", reason="needs the extra reasoning-gym")


def rows(name="chain_sum", split="train", count=50, seed=0, **settings):
    found = read_source(f"reasoning_gym:{name}", split, count, seed=seed, settings=settings, place="tasks.t.data")
    return [row for _, row in found]


def questions(*args, **kwargs):
    return [row["question"] for row in rows(*args, **kwargs)]


def test_rows_are_those_of_the_package():
    for row in rows(count=20, min_terms=3, max_terms=3):
        terms = row["question"].split(": ")[1].removesuffix(" =")
        assert terms.count(" + ") + terms.count(" - ") == 2
        assert int(row["answer"]) == eval(terms)
        assert row["prompt"] == row["question"]
        assert row["metadata"]["num_terms"] == 3


def test_the_same_seed_gives_the_same_rows_and_more_rows_begin_with_fewer():
    assert questions(count=700)[:50] == questions(count=50)
    assert questions(seed=1) != questions(seed=0)


def test_questions_are_distinct_and_in_one_split_whatever_the_seeds():
    # One-digit sums of two terms: 199 texts in all, so that chance overlaps would be certain.
    settings = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    train = [questions(count=90, seed=seed, **settings) for seed in (0, 1)]
    test = questions(split="test", count=40, **settings)
    assert all(len(set(texts)) == len(texts) for texts in [*train, test])
    assert not set(test) & set(train[0] + train[1])


def test_too_few_distinct_questions_are_an_error():
    with pytest.raises(DataError, match=r"^reasoning_gym:chain_sum: the test split has only \d+ distinct questions"):
        rows(split="test", count=500, min_terms=2, max_terms=2, min_digits=1, max_digits=1)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("chain_sums", {}, "reasoning_gym:chain_sums: no such kind of question; did you mean 'chain_sum'?"),
        ("chain_sum", {"max_term": 3}, "no data_settings.max_term; did you mean 'max_terms'?"),
        ("chain_sum", {"max_terms": 1}, "reasoning_gym:chain_sum: data_settings: max_terms must be >= min_terms"),
        ("chain_sum", {"max_terms": "x"}, "reasoning_gym:chain_sum: data_settings: "),
        ("chain_sum", {"size": 3}, "data_settings.size is set by 'train_items' and 'evaluation.items'"),
        ("chain_sum", {"seed": 3}, "data_settings.seed is set by 'seed' of the recipe"),
    ],
)
def test_mistakes_name_what_to_change(name, settings, message):
    with pytest.raises(DataError, match=message.replace("(", r"\(").replace("?", r"\?")):
        read_source(f"reasoning_gym:{name}", "test", 9, seed=0, settings=settings, place="tasks.t.data")


def test_a_task_of_a_recipe():
    task = {
        "data": "reasoning_gym:chain_sum",
        "data_settings": {"max_terms": 3},
        "train_items": 5,
        "rewards": {"short_answer": 1.0},
    }
    evaluation = {"items": 7, "validation_items": 2, "every": 1}
    recipe = Recipe.model_validate({"tasks": {"sums": task}, "evaluation": evaluation})
    with Resources(recipe) as resources:
        loaded = load_tasks(recipe, resources)["sums"]
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (5, 2, 7)
    place, row = read_split("sums", "test", recipe)[0]
    assert place == "reasoning_gym:chain_sum test row 1"
    assert row["question"].startswith("State the final answer")


def test_rows_do_not_depend_on_the_process():
    # This kind iterates over sets of letters.
    code = (
        "import json; from omnithinker.data.reasoning_gym import generate_rows; "
        "print(json.dumps(generate_rows('isomorphic_strings', 'train', 5, seed=0, settings={})))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(json.loads(outputs.pop())) == 5


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "reasoning_gym").mkdir()
    (tmp_path / "reasoning_gym" / "__init__.py").write_text("raise ImportError('none here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        BadInput, match=r"needs the package 'reasoning-gym': pip install 'omnithinker\[reasoning-gym\]'"
    ):
        rows()
