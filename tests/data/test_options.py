"""Options in prompts: unlabelled, shuffled by seed, the same for held-out rows."""

import json
from pathlib import Path

from omnithinker.config.recipe import Recipe
from omnithinker.data.options import with_options_text
from omnithinker.tasks.base import read_split
from omnithinker.tasks.messages import fill

OPTIONS = ["white", "black", "green", "red", "blue"]


def orders(seed: int, count: int = 40) -> list[str]:
    rows = [{"question": f"q{number}", "options": list(OPTIONS)} for number in range(count)]
    return [with_options_text(row, seed)["options_text"] for row in rows]


def test_every_option_is_listed_without_a_label() -> None:
    for text in orders(0):
        assert sorted(text.split("\n")) == sorted(f"- {option}" for option in OPTIONS)


def test_the_place_of_the_first_option_tells_nothing() -> None:
    places = [text.split("\n").index("- white") for text in orders(0, 500)]
    assert all(60 < places.count(place) < 140 for place in range(5))


def test_order_depends_on_the_seed_and_the_question_and_not_on_the_order_in_the_file() -> None:
    assert orders(0) == orders(0)
    assert orders(0) != orders(1)
    assert len(set(orders(0))) > 20
    row = {"question": "q", "options": OPTIONS}
    assert (
        with_options_text({**row, "options": OPTIONS[::-1]}, 0)["options_text"]
        == (with_options_text(row, 0)["options_text"])
    )


def test_rows_that_need_none_are_as_they_were() -> None:
    for row in ({"options": ["a"], "options_text": "own"}, {"question": "q"}, {"options": "a, b"}, {"options": [1, 2]}):
        assert with_options_text(dict(row), 0) == row


def recipe(folder: Path, seed: int) -> Recipe:
    rows = [{"question": f"q{number}", "answer": "red", "options": OPTIONS} for number in range(9)]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"train": str(file), "test": str(file), "rewards": {"short_answer": 1.0}}
    return Recipe.model_validate({"seed": seed, "tasks": {"t": task}})


def test_prompts_of_training_are_shuffled_by_the_recipes_seed_and_held_out_ones_are_not(tmp_path: Path) -> None:
    def prompts(seed: int, split: str) -> list[str]:
        return [
            fill("{question}\n{options_text}", row, place)
            for place, row in read_split("t", split, recipe(tmp_path, seed))
        ]

    assert prompts(0, "train") != prompts(1, "train")
    assert prompts(0, "test") == prompts(1, "test")
    assert prompts(0, "train")[3].startswith("q3\n- ")
