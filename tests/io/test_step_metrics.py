"""The typed metrics of a step and their line in metrics.jsonl are the same thing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from omnithinker.config.recipe import Recipe
from omnithinker.io.step_metrics import JudgeMetrics, Seconds, StepMetrics, TaskMetrics, mean_defined

METRICS = StepMetrics(
    step=7,
    tokens=20,
    seconds=Seconds(generate=1.00004, wait=0.5, train=1.5),
    loss=1.0,
    grad_norm=None,
    updates=1,
    nonfinite=1,
    tasks={
        "writing": TaskMetrics(
            reward=0.55,
            accuracy=0.5,
            entropy=None,
            length=3.0,
            truncated=0.0,
            completions=3,
            tokens=14,
            undefined=1,
            frac_reward_zero_std=0.0,
            dropped_groups=0,
            components={"judge": 0.5, "format": None},
            component_metrics={"judge": {"depth": 3.5}},
            judged={"judge": {"candidate_chars": 20.0, "length_correlation": None}},
            causes={"format": {"odd": 1}, "judge": {"judge_down": 2}},
            kl=0.25,
            clip_frac=None,
        ),
        "math": TaskMetrics(completions=2, tokens=6, undefined=2, dropped_groups=1),
    },
    judges={"default": JudgeMetrics(calls=2, cost=0.5, seconds=1.25, failures={"judge_down": 2})},
)
LINE = (
    '{"step": 7, "tokens": 20, "seconds/generate": 1.0, "seconds/wait": 0.5, "seconds/train": 1.5, '
    '"tokens_per_second": 6.67, "loss": 1.0, "grad_norm": null, "updates": 1, "nonfinite": 1, '
    '"task/math/reward": null, "task/math/accuracy": null, "task/math/entropy": null, "task/math/length": null, '
    '"task/math/truncated": null, "task/math/completions": 2, "task/math/tokens": 6, "task/math/undefined": 2, '
    '"task/math/frac_reward_zero_std": null, "task/math/dropped_groups": 1, "task/math/kl": null, '
    '"task/math/clip_frac": null, "task/writing/reward": 0.55, "task/writing/accuracy": 0.5, '
    '"task/writing/entropy": null, "task/writing/length": 3.0, "task/writing/truncated": 0.0, '
    '"task/writing/completions": 3, "task/writing/tokens": 14, "task/writing/undefined": 1, '
    '"task/writing/frac_reward_zero_std": 0.0, "task/writing/dropped_groups": 0, '
    '"task/writing/component/judge": 0.5, "task/writing/component/format": null, '
    '"task/writing/component/judge/depth": 3.5, "task/writing/judged/judge/candidate_chars": 20.0, '
    '"task/writing/judged/judge/length_correlation": null, "task/writing/undefined/format/odd": 1, '
    '"task/writing/undefined/judge/judge_down": 2, "task/writing/kl": 0.25, "task/writing/clip_frac": null, '
    '"judge/default/calls": 2, "judge/default/cached": 0, "judge/default/retries": 0, '
    '"judge/default/prompt_tokens": 0, "judge/default/completion_tokens": 0, "judge/default/cost": 0.5, '
    '"judge/default/seconds": 1.25, "judge/default/failures/judge_down": 2}'
)


def test_the_line_of_metrics_jsonl():
    assert json.dumps(METRICS.to_record()) == LINE


def test_a_record_of_an_earlier_version_is_read():
    record = {"step": 3, "task/a/reward": 0.5, "task/a/renamed": 1.0, "unknown": 2, "judge/default/calls": 4}
    assert StepMetrics.from_record(record) == StepMetrics(
        step=3,
        tokens=0,
        seconds=Seconds(0.0, 0.0, 0.0),
        tasks={"a": TaskMetrics(reward=0.5)},
        judges={"default": JudgeMetrics(calls=4)},
    )


numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 10**9)
names = st.text("abc-_.: é", min_size=1, max_size=4)
free_names = st.text("ab/é", min_size=1, max_size=4)
"""Of metrics and causes, which are the last part of their name."""


def of_components(values):
    return st.dictionaries(names, st.dictionaries(free_names, values, min_size=1, max_size=3), max_size=2)


tasks = st.builds(
    TaskMetrics,
    **dict.fromkeys(("reward", "accuracy", "entropy", "length", "truncated", "kl", "clip_frac"), numbers),
    **dict.fromkeys(("completions", "tokens", "undefined", "dropped_groups"), counts),
    frac_reward_zero_std=numbers,
    components=st.dictionaries(names, numbers, max_size=3),
    component_metrics=of_components(numbers),
    judged=of_components(numbers),
    causes=of_components(counts),
)
judges = st.builds(
    JudgeMetrics,
    **dict.fromkeys(("calls", "cached", "retries", "prompt_tokens", "completion_tokens"), counts),
    cost=st.floats(0, 1e6),
    seconds=st.floats(0, 1e6),
    failures=st.dictionaries(free_names, counts, max_size=3),
)
phase = st.integers(0, 10**7).map(lambda tenths_of_ms: tenths_of_ms / 10**4)
steps = st.builds(
    StepMetrics,
    step=counts,
    tokens=counts,
    seconds=st.builds(Seconds, phase, phase, phase),
    loss=numbers,
    grad_norm=numbers,
    updates=counts,
    nonfinite=counts,
    tasks=st.dictionaries(names, tasks, max_size=3),
    judges=st.dictionaries(names, judges, max_size=2),
)


@given(steps)
def test_the_record_holds_everything(metrics):
    line = json.dumps(metrics.to_record())
    assert StepMetrics.from_record(json.loads(line)) == metrics


@pytest.mark.parametrize(
    "parts",
    [
        {"tasks": {"a/b": TaskMetrics()}},
        {"tasks": {"a": TaskMetrics(components={"a/b": 1.0})}},
        {"tasks": {"a": TaskMetrics(causes={"a/b": {"down": 1}})}},
        {"judges": {"a/b": JudgeMetrics()}},
    ],
)
def test_a_slash_in_a_name_is_refused(parts):
    with pytest.raises(ValueError, match="'a/b': the name contains '/'"):
        StepMetrics(step=1, tokens=0, seconds=Seconds(0.0, 0.0, 0.0), **parts).to_record()


def test_a_recipe_cannot_name_a_task_component_or_judge_with_a_slash():
    task = {"data": "lab:math", "rewards": {"math_answer": 1.0}}
    own = {"data": "lab:math", "rewards": {"a/b": {"kind": "math_answer", "weight": 1.0}}}
    judge = {"kind": "rubric"}
    Recipe.model_validate({"tasks": {"math": task}, "judges": {"default": judge}})
    for noun, recipe in (
        ("task", {"tasks": {"a/b": task}}),
        ("reward", {"tasks": {"math": own}}),
        ("judge", {"tasks": {"math": task}, "judges": {"a/b": judge}}),
    ):
        with pytest.raises(ValidationError, match=f"{noun} name 'a/b': use letters, digits, - and _"):
            Recipe.model_validate(recipe)


def test_per_task_leaves_out_what_is_undefined():
    assert METRICS.per_task("entropy") == {}
    assert METRICS.per_task("reward") == {"writing": 0.55}


def test_mean_defined():
    assert mean_defined([1.0, None, 2.0]) == 1.5
    assert mean_defined([None]) is None
