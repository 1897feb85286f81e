"""``omnithinker sft`` on rows of TRL's shape, and tasks that have no reward."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnithinker.cli import main
from omnithinker.config.recipe import Recipe, require_rewards
from omnithinker.errors import DataError, RecipeError
from omnithinker.tasks.messages import DEMONSTRATION, fill
from tests.builders.real_data import real_file

ROWS = [
    {"prompt": "Explicit is", "completion": " better than implicit."},
    {"prompt": "Complex", "completion": " is better than complicated."},
]
AS_MESSAGES = [
    {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "completion": [{"role": "assistant", "content": row["completion"]}],
    }
    for row in ROWS
]


def trl_recipe(folder: Path, train: Path, more: str = "") -> Path:
    recipe = folder / "recipe.toml"
    recipe.write_text(
        f'output = "{folder}/run"\n[warmup]\nepochs = 1\nbatch_size = 8\nlearning_rate = 1e-3\n'
        f'[tasks.zen]\ntrain = "{train}"\ntest_items = 1\nformat = "trl"\ndemonstration = "{{completion}}"\n{more}'
    )
    return recipe


@pytest.mark.parametrize("name", ["standard_prompt_completion", "conversational_prompt_completion"])
def test_prompt_and_completion_are_learned_without_a_reward(name, tmp_path, capsys):
    file = real_file(f"trl_zen/{name}.jsonl")
    recipe = trl_recipe(tmp_path, file)
    assert main(["sft", str(recipe)]) == 0
    rows = len(file.read_text().splitlines())
    result = json.loads((tmp_path / "run/warmup/result.json").read_text())
    assert result["demonstrations"] == rows - 1
    assert (tmp_path / "run/warmup/model/model.safetensors").exists()
    assert main(["check", str(recipe), "--json"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("rows", [ROWS, AS_MESSAGES])
def test_a_completion_is_text_or_one_message_of_the_assistant(rows):
    assert [fill("{completion}", row, "f:1", DEMONSTRATION) for row in rows] == [row["completion"] for row in ROWS]


@pytest.mark.parametrize(
    ("completion", "message"),
    [
        ([{"role": "user", "content": "x"}], "must hold one message, the assistant's; it has the roles user"),
        ([{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}], "the roles assistant, user"),
        ([{"role": "assistant", "content": None}], r"'completion\.0\.content' must be text"),
        ([{"role": "assistant", "content": "", "tool_calls": [1]}], "calls of tools are not supported"),
        (["x"], "must be text or a number, not "),
    ],
)
def test_other_completions_are_refused(completion, message):
    with pytest.raises(DataError, match=message):
        fill("{completion}", {"completion": completion}, "f:1", DEMONSTRATION)


@pytest.mark.parametrize("command", ["train", "evaluate", "study"])
def test_other_commands_need_a_reward(command, tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    assert main([command, str(trl_recipe(tmp_path, tmp_path / "rows.jsonl"))]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "tasks.zen: has no reward, so it serves 'omnithinker sft' only; add one, such as" in error


def test_a_task_has_a_reward_or_a_demonstration():
    task = {"data": "lab:math"}
    with pytest.raises(ValueError, match=r"has no reward; add one, such as .* or a 'demonstration' for supervised"):
        Recipe.model_validate({"tasks": {"t": task}})
    recipe = Recipe.model_validate({"tasks": {"t": task | {"demonstration": "{answer}"}}})
    with pytest.raises(RecipeError, match=r"tasks\.t: has no reward"):
        require_rewards(recipe)
    require_rewards(Recipe.model_validate({"tasks": {"t": task | {"rewards": {"math_answer": 1.0}}}}))
