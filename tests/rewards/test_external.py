"""Reward functions written for TRL and verl, called as those trainers call them."""

import asyncio
import functools
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.config.rewards import parse_reward
from omnithinker.errors import RecipeError, RewardError
from omnithinker.rewards.base import Component, Progress
from omnithinker.rewards.components import build_components
from omnithinker.rewards.external import TrlFunction, VerlFunction, load_external
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.runner import Scorer
from omnithinker.train.metrics import component_metrics
from omnithinker.types import Prompt, RolloutGroup, Score, Trajectory

ROW = {"solution": "x", "level": 3, "reward_model": {"ground_truth": "gold"}}
PROMPT = Prompt(task="t", index=4, text="q", row=ROW)
PAIR = (Trajectory(text="a", token_ids=(1, 2)), Trajectory(text="bb", token_ids=(3,)))


def score(
    function: Callable[..., Any], prompt: Prompt = PROMPT, on_error: str = "stop", **settings: Any
) -> tuple[Score, ...]:
    module = types.ModuleType("their_rewards")
    module.function = function  # type: ignore[attr-defined]
    sys.modules["their_rewards"] = module
    try:
        reward = load_external("their_rewards:function", "here", **settings)
    finally:
        del sys.modules["their_rewards"]
    component = Component("r", reward, 1.0, True, on_error=on_error)  # type: ignore[arg-type]
    with Scorer({"t": (component,)}) as scorer:
        return scorer.submit(RolloutGroup(prompt=prompt, trajectories=PAIR)).result().scores


def rewards(function: Callable[..., Any], **settings: Any) -> list[float | None]:
    return [one.reward for one in score(function, **settings)]


def test_trl_function_gets_what_trl_passes() -> None:
    seen: dict[str, Any] = {}

    def reward(prompts: Any, completions: Any, completion_ids: Any, **kwargs: Any) -> list[float | None]:
        seen.update(kwargs, prompts=prompts, completions=completions, completion_ids=completion_ids)
        return [None, 0.5]

    row = {**ROW, "prompt": "written for another template", "completion": "gold text", "completions": "?"}
    assert rewards(reward, prompt=Prompt(task="t", index=0, text="q", row=row)) == [None, 0.5]
    assert seen.pop("log_extra")
    assert seen.pop("log_metric")
    assert seen.pop("trainer_state").global_step == 0
    assert seen == {
        "prompts": ["q", "q"],
        "completions": ["a", "bb"],
        "completion_ids": [[1, 2], [3]],
        "solution": ["x", "x"],
        "level": [3, 3],
        "reward_model": [ROW["reward_model"]] * 2,
    }


def test_async_trl_functions_are_awaited() -> None:
    async def reward(completions: list[str], solution: list[str], **kwargs: Any) -> list[float | None]:
        await asyncio.sleep(0)
        return [float(len(text)) if text != "a" else None for text in completions]

    assert rewards(reward) == [None, 2.0]


def test_functions_without_keyword_arguments_get_the_columns_they_name() -> None:
    def strict(completions: list[str], level: list[int]) -> list[float]:
        return [number / 10 for number in level]

    assert rewards(strict) == [0.3, 0.3]


def test_a_column_that_the_row_lacks_is_an_error_with_its_name() -> None:
    def strict(completions: list[str], answer: list[str]) -> list[float]:
        return [1.0 for _ in completions]

    with pytest.raises(RewardError, match=r"reward 'r' of task 't' failed on row 4: TypeError: .*'answer'"):
        score(strict)


def test_classes_and_partial_functions_can_be_named() -> None:
    class Length:
        def __call__(self, completions: list[str], **kwargs: Any) -> list[float]:
            return [float(len(text)) for text in completions]

    def scaled(completions: list[str], factor: float, **kwargs: Any) -> list[float]:
        return [factor * len(text) for text in completions]

    assert rewards(Length()) == [1.0, 2.0]
    assert rewards(functools.partial(scaled, factor=0.5)) == [0.5, 1.0]


MESSAGES = [{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("row_prompt", "chat", "prompt", "completion"),
    [
        ("hello", None, "q", "a"),
        (MESSAGES, None, MESSAGES, [{"role": "assistant", "content": "a"}]),
        (MESSAGES, False, "q", "a"),
        ("hello", True, [{"role": "user", "content": "q"}], [{"role": "assistant", "content": "a"}]),
        ([], None, "q", "a"),
        (["hello"], None, "q", "a"),
    ],
)
def test_messages_are_passed_as_trl_does_or_as_the_setting_says(
    row_prompt: Any, chat: bool | None, prompt: Any, completion: Any
) -> None:
    seen = []

    def reward(prompts: Any, completions: Any) -> list[float]:
        seen.append((prompts[0], completions[0]))
        return [1.0, 1.0]

    score(reward, prompt=Prompt(task="t", index=0, text="q", row={"prompt": row_prompt}), chat=chat)
    assert seen == [(prompt, completion)]


def test_trainer_state_tells_where_the_run_stands() -> None:
    progress = Progress()
    seen = []

    def reward(completions: list[str], trainer_state: Any) -> list[float]:
        seen.append((trainer_state.global_step, trainer_state.max_steps))
        return [0.0] * len(completions)

    function = TrlFunction(reward, progress=progress)
    function.score_group(PROMPT, PAIR)
    progress.step, progress.steps = 7, 20
    function.score_group(PROMPT, PAIR)
    assert seen == [(0, 0), (7, 20)]


def test_what_a_function_logs_becomes_details_and_metrics() -> None:
    def reward(completions: list[str], log_extra: Any, log_metric: Any, **kwargs: Any) -> list[float | None]:
        log_extra("length", [len(text) for text in completions])
        log_extra("kind", [object, None])
        log_metric("mean_length", 1.5)
        return [1.0, None]

    first, second = score(reward)
    assert (first.reward, second.reward) == (1.0, None)
    assert first.details == {"r": {"length": 1, "kind": "<class 'object'>"}}
    assert second.details == {"r": {"length": 2, "kind": None}}
    assert component_metrics([first, second]) == {"r": {"mean_length": 1.5}}


def test_a_column_of_the_wrong_length_is_the_functions_error() -> None:
    def reward(completions: list[str], log_extra: Any) -> list[float]:
        log_extra("length", [1])
        return [1.0, 1.0]

    with pytest.raises(RewardError, match=r"'length'.* got 1 values for 2 completions"):
        score(reward)


@pytest.mark.parametrize(
    ("result", "message", "causes"),
    [
        ([1.0], "returned 1 values for 2 completions", ["wrong_length"] * 2),
        ([1.0, float("nan")], "returned nan", [None, "not_a_number"]),
        ([1.0, "0.5"], "returned '0.5'", [None, "not_a_number"]),
        (0.5, "failed on row 4: TypeError", ["raised_TypeError"] * 2),
    ],
)
def test_what_is_no_list_of_numbers_is_an_error_or_undefined(
    result: Any, message: str, causes: list[str | None]
) -> None:
    def reward(completions: list[str]) -> Any:
        return result

    with pytest.raises(RewardError, match=message):
        score(reward)
    assert [one.causes.get("r") for one in score(reward, on_error="undefined")] == causes


busy = threading.Lock()


def alone(completions: list[str]) -> list[float]:
    """1 if no other call is under way."""
    free = busy.acquire(blocking=False)
    sum(range(20000))  # gives the others time to come in
    if free:
        busy.release()
    return [float(free)] * len(completions)


def test_sync_functions_are_called_one_at_a_time() -> None:
    recipe = Recipe.model_validate({"tasks": {"t": {"data": "lab:qa", "rewards": {"short_answer": 1.0}}}})
    settings = {"mine": parse_reward({"kind": f"python:{__file__}:alone"})}
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with Resources(recipe) as resources, Scorer({"t": build_components("t", settings, resources)}) as scorer:
            futures = [scorer.submit(RolloutGroup(prompt=PROMPT, trajectories=PAIR)) for _ in range(100)]
            rewards = [one.reward for future in futures for one in future.result().scores]
    finally:
        sys.setswitchinterval(interval)
    assert rewards == [1.0] * 200


def test_verl_function_gets_what_verl_passes() -> None:
    seen = []

    def compute_score(data_source: Any, solution_str: Any, ground_truth: Any, extra_info: Any = None) -> float:
        seen.append((data_source, solution_str, ground_truth, extra_info))
        return float(ground_truth == "gold")

    row = {"data_source": "openai/gsm8k", "extra_info": {"index": 5}, **ROW}
    assert rewards(compute_score, prompt=Prompt(task="t", index=0, text="q", row=row)) == [1.0, 1.0]
    plain = {"answer": "12", "solution": "6 + 6"}
    assert rewards(compute_score, prompt=Prompt(task="t", index=0, text="q", row=plain)) == [0.0, 0.0]
    assert seen == [
        ("openai/gsm8k", "a", "gold", {"index": 5}),
        ("openai/gsm8k", "bb", "gold", {"index": 5}),
        ("t", "a", "12", plain),
        ("t", "bb", "12", plain),
    ]


def test_verl_dict_results_keep_what_they_say_beside_the_score() -> None:
    def compute_score(data_source: Any, solution_str: str, ground_truth: Any, extra_info: Any) -> dict[str, Any]:
        return {"score": 0.5, "acc": solution_str == "a", "pred": [solution_str]}

    first, second = score(compute_score)
    assert (first.reward, second.reward) == (0.5, 0.5)
    assert first.details == {"r": {"acc": True, "pred": "['a']"}}
    assert second.details == {"r": {"acc": False, "pred": "['bb']"}}


def test_async_verl_functions_run_side_by_side() -> None:
    together = asyncio.Event()
    waiting = 0

    async def compute_score(solution_str: str, ground_truth: Any) -> float | None:
        nonlocal waiting
        waiting += 1
        if waiting == len(PAIR):
            together.set()
        await together.wait()
        return None if solution_str == "a" else 1.0

    assert rewards(compute_score) == [None, 1.0]


@pytest.mark.parametrize("is_async", [False, True])
def test_verl_function_that_raises_for_one_completion_leaves_the_other(is_async: bool) -> None:
    def compute_score(solution_str: str) -> Any:
        return {"points": 1} if solution_str == "a" else 1.0

    async def later(solution_str: str) -> Any:
        if solution_str == "a":
            raise ValueError("a dict result requires the key 'score'; its keys: points")
        return 1.0

    function = later if is_async else compute_score
    with pytest.raises(RewardError, match=r"'r' of task 't' failed on row 4: ValueError: .*'score'; its keys: points"):
        score(function)
    scores = score(function, on_error="undefined")
    assert [one.reward for one in scores] == [None, 1.0]
    assert scores[0].causes == {"r": "raised_ValueError"}


def test_functions_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise OSError('no data')")
    for path, message in [
        ("json:nothing", "AttributeError"),
        ("no_such_module:f", "No module named 'no_such_module'; for a file, write python:file.py:function"),
        ("os.path:join", "accepts neither 'completions' .* nor 'solution_str'"),
        (f"{broken}:f", "OSError: no data"),
        (f"{tmp_path}/none.py:f", "FileNotFoundError"),
        ("justaname", "cannot import"),
    ]:
        with pytest.raises(RecipeError, match=f"^here: .*{message}"):
            load_external(path, "here")


RECIPE = """
[tasks.t]
data = "lab:math"
[tasks.t.rewards]
math_answer = 1.0
mine = { kind = "python:mine.py:brevity", weight = 0.5, primary = false, on_error = "undefined", chat = true }
"""


def test_a_recipe_names_a_file_beside_it_and_its_settings_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "def brevity(completions, trainer_state):\n"
        "    if trainer_state.global_step > 3:\n"
        "        raise OSError('tired')\n"
        "    return [1.0 / len(messages[0]['content']) for messages in completions]\n"
    )
    (tmp_path / "r.toml").write_text(RECIPE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recipe = load_recipe(tmp_path / "r.toml")
    with Resources(recipe) as resources:
        mine = build_components("t", recipe.tasks["t"].rewards, resources)[1]
        with Scorer({"t": (mine,)}) as scorer:
            group = RolloutGroup(prompt=PROMPT, trajectories=PAIR)
            assert [one.components["mine"] for one in scorer.submit(group).result().scores] == [1.0, 0.5]
            resources.progress.step = 4
            assert [one.causes["mine"] for one in scorer.submit(group).result().scores] == ["raised_OSError"] * 2


def test_settings_refuse_other_words() -> None:
    with pytest.raises(ValueError, match="on_error"):
        parse_reward({"kind": "short_answer", "on_error": "zero"})


def test_both_kinds_are_known_by_their_parameters() -> None:
    assert isinstance(load_external(f"{__file__}:of_trl", "here"), TrlFunction)
    assert isinstance(load_external(f"{__file__}:of_verl", "here"), VerlFunction)


def of_trl(prompts: list[str], completions: list[str], **kwargs: Any) -> list[float]:
    return [0.0 for _ in completions]


def of_verl(data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None) -> float:
    return 0.0
