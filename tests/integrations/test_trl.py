"""Our rewards as TRL reward functions: what they return and log, and two steps of TRL's own trainer."""

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from omnithinker.config.recipe import Recipe
from omnithinker.errors import BadInput, DataError, RecipeError, RewardError
from omnithinker.integrations.trl import RecipeReward, dataset_rows
from omnithinker.lab import MODEL_PATH

ANSWER = "<think>t</think><answer>%s</answer>"
RECIPE = Recipe.model_validate(
    {
        "evaluation": {"items": 4},
        "sandbox": {"level": "weak", "slots": 1},
        "tasks": {
            "math": {"data": "lab:math", "train_items": 4, "rewards": {"math_answer": 1.0, "format": 0.1}},
            "qa": {"data": "lab:qa", "train_items": 4, "system": "Be brief.", "rewards": {"short_answer": 0.5}},
        },
    }
)


def test_total_is_the_weighted_sum_and_undefined_is_none() -> None:
    with RecipeReward(RECIPE, "math") as reward:
        values = reward(
            prompts=["q", "q", "r", "r"],
            completions=[ANSWER % "5", "5", ANSWER % "5", "<answer>7</answer>"],
            completion_ids=[[1]] * 4,
            answer=["5", "5", "\\frac{", "7"],
        )
        assert values == [1.1, 0.0, None, 1.0]
        assert reward.__name__ == "math"


def test_one_component_comes_without_its_weight() -> None:
    with RecipeReward(RECIPE, "math", component="format") as reward:
        assert reward(prompts=["q"] * 2, completions=[ANSWER % "5", "5"], answer=["5", "5"]) == [1.0, 0.0]
        assert reward.__name__ == "math_format"


def test_rows_of_several_tasks_name_their_own_and_columns_of_others_are_none() -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "which colour?"}]
    with RecipeReward(RECIPE) as reward:
        values = reward(
            prompts=["2 + 3?", messages],
            completions=[ANSWER % "5", [{"role": "assistant", "content": [{"type": "text", "text": ANSWER % "red"}]}]],
            task=["math", "qa"],
            answer=["5", None],
            answers=[None, ["Red", "crimson"]],
        )
        assert values == [1.1, 0.5]
        with pytest.raises(BadInput, match="several tasks"):
            reward(prompts=["q"], completions=["c"], answer=["5"])
        with pytest.raises(BadInput, match="no task 'maths' in the recipe; did you mean 'math'"):
            reward(prompts=["q"], completions=["c"], answer=["5"], task=["maths"])
        with pytest.raises(DataError, match="no field 'answer'"):
            reward(prompts=["q"], completions=["c"], task=["math"], solution=["5"])


def test_components_and_undefined_completions_are_logged_per_task_and_cause() -> None:
    logged: dict[str, list[float]] = defaultdict(list)

    def log_metric(name: str, value: float) -> None:
        logged[name].append(value)

    with RecipeReward(RECIPE) as reward:
        for gold in ("\\frac{", "5"):
            reward(
                prompts=["q", "q", "r", "s"],
                completions=[ANSWER % "5", "5", ANSWER % "5", ANSWER % "red"],
                log_metric=log_metric,
                task=["math", "math", "math", "qa"],
                answer=["5", "5", gold, "red"],
            )
    assert logged == {
        "math/math_answer": [0.5, pytest.approx(2 / 3)],
        "math/format": [pytest.approx(2 / 3)] * 2,
        "math/undefined": [pytest.approx(1 / 3), 0.0],
        "math/undefined/math_answer/gold_unparseable": [pytest.approx(1 / 3), 0.0],
        "qa/short_answer": [1.0, 1.0],
        "qa/undefined": [0.0, 0.0],
    }


def test_own_functions_see_the_group_and_the_step_and_their_errors_have_an_owner(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def count(completions, trainer_state):\n"
        "    if trainer_state.global_step == 9:\n"
        "        raise OSError('tired')\n"
        "    return [len(completions) / 10] * len(completions)\n"
    )
    tasks = {"t": {"data": "lab:qa", "rewards": {"mine": {"kind": f"python:{file}:count"}}}}
    state = SimpleNamespace(global_step=3, max_steps=10)
    with RecipeReward(Recipe.model_validate({"tasks": tasks})) as reward:
        values = reward(prompts=["q", "q", "q", "r"], completions=list("abcd"), trainer_state=state)
        assert values == [0.3, 0.3, 0.3, 0.1]
        state.global_step = 9
        with pytest.raises(RewardError, match="reward 'mine' of task 't' failed on row 0: OSError: tired"):
            reward(prompts=["q"], completions=["a"], trainer_state=state)


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(RecipeError, match=r"tasks.math: no reward 'formt'; did you mean 'format'"):
        RecipeReward(RECIPE, "math", component="formt")
    with pytest.raises(RecipeError, match="name it"):
        RecipeReward(RECIPE, component="format")
    with pytest.raises(BadInput, match="no task 'maths'"):
        RecipeReward(RECIPE, "maths")


def test_rows_of_all_tasks_fit_one_table() -> None:
    rows = dataset_rows(RECIPE)
    assert [row["task"] for row in rows] == ["math"] * 4 + ["qa"] * 4
    assert len({tuple(row) for row in rows}) == 1
    assert rows[0]["prompt"][0]["role"] == "user"
    assert rows[4]["prompt"][0] == {"role": "system", "content": "Be brief."}
    assert rows[4]["answer"] in json.loads(rows[4]["row"])["options"]
    code = Recipe.model_validate({"tasks": {"code": {"data": "lab:code", "rewards": {"unit_tests": 1.0}}}})
    row = dataset_rows(code, "test")[0]
    with RecipeReward(Recipe.model_validate({**code.model_dump(), "sandbox": {"level": "weak", "slots": 1}})) as reward:
        program = f"<answer>{row['solution']}</answer>"
        columns = {name: [row[name]] * 2 for name in ("row", "solution", "task")}
        assert reward(prompts=[row["prompt"]] * 2, completions=[program, "<answer>pass</answer>"], **columns) == [1, 0]


@pytest.mark.trl
@pytest.mark.filterwarnings("ignore")
def test_trl_trains_on_them(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="the package trl is not installed")
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    arguments = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=24,
        max_steps=2,
        learning_rate=1e-4,
        logging_steps=1,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        shuffle_dataset=False,
    )
    rows: list[dict[str, Any]] = dataset_rows(RECIPE)
    rows[0]["answer"] = "\\quad"  # empty as mathematics: undefined for its four completions
    interleaved = [row for pair in zip(rows[:4], rows[4:], strict=True) for row in pair]
    with RecipeReward(RECIPE) as total, RecipeReward(RECIPE, "qa", component="short_answer") as one:

        def only_qa(prompts: Any, completions: Any, task: list[str], **columns: Any) -> list[float | None]:
            values = one(prompts, completions, **columns)
            return [value if name == "qa" else None for value, name in zip(values, task, strict=True)]

        trainer = GRPOTrainer(
            model=str(MODEL_PATH),
            reward_funcs=[total, only_qa],
            args=arguments,
            train_dataset=Dataset.from_list(interleaved),
        )
        trainer.train()
    first, second = (record for record in trainer.state.log_history if "loss" in record)
    assert (first["math/undefined"], second["math/undefined"]) == (1.0, 0.0)
    assert first["math/undefined/math_answer/gold_unparseable"] == 1.0
    assert first["rewards/omnithinker/mean"] == pytest.approx(0.5 * first["rewards/only_qa/mean"])
    assert 0 <= second["math/math_answer"] <= 1
    assert second["qa/undefined"] == 0.0


def test_the_answer_is_looked_for_where_the_recipe_says() -> None:
    settings = {"data": "lab:math", "train_items": 4, "rewards": {"math_answer": {"answer_from": "boxed"}}}
    with RecipeReward(Recipe.model_validate({"tasks": {"math": settings}})) as reward:
        texts = [r"so \boxed{5}", ANSWER % "5"]
        assert reward(prompts=["q"] * 2, completions=texts, answer=["5"] * 2) == [1.0, 0.0]
