"""Splits of a task's data, from files of any shape to prompts."""

from __future__ import annotations

import json

import pytest

from omnithinker.cli import main
from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.errors import DataError, RecipeError
from omnithinker.rewards.resources import Resources
from omnithinker.tasks.base import encode_prompts, load_tasks, read_split


def recipe_of(folder, rows, *, seed=0, evaluation=None, **settings):
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = {"train": str(folder / "rows.jsonl"), "rewards": {"short_answer": 1.0}} | settings
    return Recipe.model_validate({"seed": seed, "evaluation": evaluation or {}, "tasks": {"t": task}})


def asked(recipe, split):
    return [row["prompt"] for _, row in read_split("t", split, recipe)]


ROWS = [{"prompt": f"q{number}", "answer": "a"} for number in range(30)]


def test_test_rows_held_out_of_the_training_rows_are_the_same_for_every_seed(tmp_path):
    recipe = recipe_of(tmp_path, [*ROWS, ROWS[0], ROWS[1]], test_items=10)
    test = asked(recipe, "test")
    assert len(test) == 10
    assert not set(test) & set(asked(recipe, "train"))
    assert asked(recipe_of(tmp_path, [*ROWS, ROWS[0], ROWS[1]], test_items=10, seed=5), "test") == test
    fewer = recipe_of(tmp_path, ROWS, test_items=10, evaluation={"items": 4}, train_items=3)
    assert (len(asked(fewer, "test")), len(asked(fewer, "train"))) == (4, 3)


def test_validation_rows_are_held_out_of_the_rest(tmp_path):
    recipe = recipe_of(tmp_path, ROWS, test_items=10, evaluation={"validation_items": 5, "every": 1})
    parts = [asked(recipe, split) for split in ("train", "test", "validation")]
    assert [len(part) for part in parts] == [15, 10, 5]
    assert len(set().union(*parts)) == 30


def test_holding_out_every_row_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"rows.jsonl:1: tasks.t.test_items = 40 leaves none of the 30 training rows"):
        read_split("t", "train", recipe_of(tmp_path, ROWS, test_items=40))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "'test_items' may replace 'test'"),
        ({"test": "x", "test_items": 2}, "'test_items' belongs to 'train' without 'test'"),
        ({"train": None, "data": "lab:qa", "test_items": 2}, "'test_items' belongs to 'train' without 'test'"),
        ({"train": None, "data": "lab:qa", "data_settings": {"x": 1}}, "'data_settings' belongs to data"),
        ({"test": "x", "chat_template_kwargs": {"tokenize": True}}, "'tokenize' is set by the program; remove it"),
        ({"test": "x", "format": "zzz"}, "no format 'zzz'; known: trl, verl"),
    ],
)
def test_settings_that_do_not_fit_together(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        recipe_of(tmp_path, ROWS, **settings)


def test_format_columns_and_messages_reach_the_chat_template(tmp_path):
    row = {
        "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "2 + 2?"}],
        "reward_model": {"ground_truth": "4"},
        "extra_info": {"why": "w"},
    }
    recipe = recipe_of(
        tmp_path,
        [row],
        test=str(tmp_path / "rows.jsonl"),
        format="verl",
        columns={"reason": "extra_info.why"},
        prompt="{prompt} {reason}",
        chat_template_kwargs={"enable_thinking": False},
    )
    seen = []

    def encode(messages, kwargs):
        seen.append((list(messages), kwargs))
        return (1,)

    with Resources(recipe) as resources:
        task = load_tasks(recipe, resources)["t"]
    (prompt,), dropped = encode_prompts(task, task.train, encode)
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "2 + 2? w"}]
    assert seen == [(messages, {"enable_thinking": False})]
    assert dropped == 0
    assert prompt.text == "2 + 2? w"
    assert list(prompt.messages) == messages
    assert (prompt.row["answer"], prompt.row["reason"]) == ("4", "w")


def test_a_format_brings_its_template_and_a_task_may_replace_it(tmp_path):
    row = {"question": "Who?", "correct_answer": "a", "distractor1": "b", "distractor2": "c", "distractor3": "d"}
    test = str(tmp_path / "rows.jsonl")
    assert recipe_of(tmp_path, [row], test=test, format="sciq").tasks["t"].prompt == "{question}\n{options_text}"
    assert recipe_of(tmp_path, [row], test=test, format="sciq", prompt="{question}").tasks["t"].prompt == "{question}"


@pytest.mark.parametrize("command", ["train", "evaluate", "check", "score"])
def test_the_text_of_a_python_list_stops_every_command(command, tmp_path, capsys):
    row = {"prompt": "[{'role': 'user', 'content': 'hi'}]", "answer": "a"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    (tmp_path / "line.jsonl").write_text(json.dumps({**row, "completion": "x"}))
    recipe = tmp_path / "bad.toml"
    recipe.write_text(
        f'output = "{tmp_path}/run"\n[tasks.t]\ntrain = "rows.jsonl"\ntest = "rows.jsonl"\nrewards.short_answer = 1.0\n'
    )
    more = {"train": ["--task", "t"], "score": ["--input", str(tmp_path / "line.jsonl")]}.get(command, [])
    assert main([command, str(recipe), *more]) == 2
    output = capsys.readouterr()
    place = "line.jsonl:1" if command == "score" else "rows.jsonl:1"
    assert f"{place}: field 'prompt' is the text of a list of messages ([{{'role': 'user'" in output.out + output.err


def test_score_reads_rows_in_the_shape_of_the_task(tmp_path, capsys):
    row = {"question": "6 * 12?", "answer": "6 * 12 = 72\n#### 72", "completion": "<answer>72</answer>"}
    (tmp_path / "lines.jsonl").write_text(json.dumps(row))
    recipe = tmp_path / "gsm.toml"
    recipe.write_text(
        f'output = "{tmp_path}/run"\n[tasks.t]\ntrain = "a.jsonl"\ntest_items = 1\nformat = "gsm8k"\n'
        "rewards.short_answer = 1.0\n"
    )
    assert main(["score", str(recipe), "--input", str(tmp_path / "lines.jsonl")]) == 0
    assert json.loads(capsys.readouterr().out)["reward"] == 1.0


def test_files_are_relative_to_the_recipe_and_hub_names_are_not(tmp_path):
    (tmp_path / "r.toml").write_text(
        '[tasks.t]\ntrain = "a.csv"\ntest = "hub:owner/name?split=validation"\nrewards.format = { primary = true }\n'
    )
    task = load_recipe(tmp_path / "r.toml").tasks["t"]
    assert task.train == str(tmp_path / "a.csv")
    assert task.test == "hub:owner/name?split=validation"


def test_an_unknown_format_names_file_and_line(tmp_path):
    (tmp_path / "r.toml").write_text('[tasks.t]\ntrain = "a"\ntest = "b"\nformat = "vrl"\nrewards.format = 1\n')
    with pytest.raises(RecipeError, match=r"r.toml:4: tasks.t.format: no format 'vrl'; did you mean 'verl'\?"):
        load_recipe(tmp_path / "r.toml")
