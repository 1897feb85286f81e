"""Our rewards as verl's custom reward function, called as verl calls it: by keyword, once per completion."""

import importlib.util
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from omnithinker.errors import BadInput, DataError
from omnithinker.integrations import verl
from omnithinker.integrations.recipe_rewards import close_shared
from omnithinker.integrations.verl import UndefinedReward, compute_score, dataset_rows

RECIPE = """
[evaluation]
items = 3
[sandbox]
level = "weak"
slots = 1
[tasks.math]
data = "lab:math"
train_items = 3
rewards.math_answer = 1.0
rewards.format = 0.1
[tasks.code]
data = "lab:code"
train_items = 3
rewards.unit_tests = 1.0
[tasks.writing]
data = "lab:writing"
train_items = 3
rewards.pairwise_judge = 1.0
"""
ANSWER = "<think>t</think><answer>%s</answer>"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = str(tmp_path_factory.mktemp("verl") / "recipe.toml")
    Path(path).write_text(RECIPE)
    yield path
    close_shared()


def as_verl(recipe: str, row: dict[str, Any], completion: str, **settings: Any) -> dict[str, float]:
    """The call of verl's reward manager: a partial with reward_kwargs, data from the parquet row."""
    function = partial(compute_score, recipe=recipe, **settings)
    return function(
        data_source=row["data_source"],
        solution_str=completion,
        ground_truth=row["reward_model"]["ground_truth"],
        extra_info={**row["extra_info"], "num_turns": 1, "rollout_reward_scores": {}},
    )


def test_rows_hold_what_the_function_reads(recipe: str) -> None:
    rows = dataset_rows(recipe)
    assert [row["data_source"] for row in rows] == ["math"] * 3 + ["code"] * 3 + ["writing"] * 3
    assert set(rows[0]) == {"data_source", "prompt", "ability", "reward_model", "extra_info"}
    assert all(isinstance(row["reward_model"]["ground_truth"], str) for row in rows)
    assert (rows[1]["extra_info"]["index"], rows[1]["extra_info"]["split"]) == (1, "train")
    math_row, code_row, writing_row = rows[0], rows[3], rows[6]
    right = as_verl(recipe, math_row, ANSWER % math_row["reward_model"]["ground_truth"])
    assert right == {"score": 1.1, "acc": 1.0, "undefined": 0.0}
    assert as_verl(recipe, math_row, "no idea") == {"score": 0.0, "acc": 0.0, "undefined": 0.0}
    solution = code_row["extra_info"]["solution"]
    assert as_verl(recipe, code_row, f"<answer>{solution}</answer>")["score"] == 1.0
    assert as_verl(recipe, code_row, "<answer>pass</answer>")["score"] == 0.0
    reference = writing_row["reward_model"]["ground_truth"]
    assert as_verl(recipe, writing_row, ANSWER % reference)["score"] == 0.5


def test_the_file_is_loaded_under_another_name_as_verl_does(recipe: str) -> None:
    spec = importlib.util.spec_from_file_location("custom_module", verl.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = {"data_source": "math", "solution_str": ANSWER % "5", "ground_truth": "5", "extra_info": {}}
    assert module.compute_score(**arguments, recipe=recipe)["score"] == 1.1


def test_ground_truth_is_enough_where_extra_info_has_no_fields(recipe: str) -> None:
    assert compute_score("math", ANSWER % "1/2", "0.5", recipe=recipe)["acc"] == 1.0
    tests = json.dumps({"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]})
    program = "<answer>def add(a, b):\n    return a + b</answer>"
    assert compute_score("code", program, tests, None, recipe=recipe)["acc"] == 1.0


def test_an_undefined_reward_is_an_error_or_the_number_that_the_configuration_states(recipe: str) -> None:
    with pytest.raises(UndefinedReward, match=r"task 'math', row 0: .*math_answer: gold_unparseable.*'undefined'"):
        compute_score("math", ANSWER % "5", "\\frac{", recipe=recipe)
    result = compute_score("math", ANSWER % "5", "\\frac{", recipe=recipe, undefined=0.25)
    assert (result["score"], result["undefined"]) == (0.25, 1.0)
    assert math.isnan(result["acc"])


def test_the_source_names_the_task_unless_there_is_only_one(recipe: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no task 'openai/gsm8k' in the recipe"):
        compute_score("openai/gsm8k", "x", "5", recipe=recipe)
    single = tmp_path / "single.toml"
    single.write_text('[tasks.math]\ndata = "lab:math"\nrewards.math_answer = 0.5\n')
    assert compute_score("openai/gsm8k", ANSWER % "5", "5", recipe=str(single))["score"] == 0.5


def test_a_damaged_row_is_named(recipe: str) -> None:
    for text in ("{", "[1]"):
        with pytest.raises(DataError, match="extra_info of 'math': field 'row'"):
            compute_score("math", "x", "5", {"row": text}, recipe=recipe)


def test_a_closed_recipe_opens_again(recipe: str) -> None:
    close_shared()
    assert compute_score("math", ANSWER % "5", "5", recipe=recipe)["acc"] == 1.0


def test_a_row_without_what_the_rewards_read_is_named(recipe: str) -> None:
    with pytest.raises(DataError, match="no field 'reference'"):
        compute_score("writing", "text", None, {"prompt": "a story"}, recipe=recipe)


def test_the_answer_is_looked_for_where_the_recipe_says(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[tasks.math]\ndata = "lab:math"\ntrain_items = 3\n'
        'rewards.math_answer = { answer_from = ["tags", "last_number"] }\n'
    )
    for text, value in ((ANSWER % "5", 1.0), ("It is 5.", 1.0), ("<answer>4</answer> 5", 0.0)):
        assert compute_score("math", text, "5", recipe=str(path))["acc"] == value
