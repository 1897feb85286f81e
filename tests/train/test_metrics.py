"""Metrics of a step: undefined completions count by task, component and cause, and in nothing else."""

from __future__ import annotations

import json

import pytest
import torch

from omnithinker.io.step_metrics import JudgeMetrics, Seconds
from omnithinker.train.metrics import Update, step_metrics
from omnithinker.types import Prompt, RolloutGroup, Score, Trajectory

NAN = float("nan")
SECONDS = Seconds(generate=1.0, wait=0.5, train=1.5)


def score(reward, components, causes=None, metrics=None) -> Score:
    correct = components["main"]
    return Score(reward=reward, components=components, causes=causes or {}, metrics=metrics or {}, correct=correct)


def group(task: str, *scores: Score, lengths=(2, 4, 6, 8)) -> RolloutGroup:
    completions = tuple(
        Trajectory(text="", token_ids=(0,) * length, entropies=(0.5 * length,) * length, truncated=length == 8)
        for length, _ in zip(lengths, scores, strict=False)
    )
    return RolloutGroup(prompt=Prompt(task=task, index=0, text=""), trajectories=completions, scores=scores)


DOWN = score(None, {"main": None, "format": 1.0}, {"main": "down"})
GROUPS = [
    group(
        "a",
        score(1.1, {"main": 1.0, "format": 1.0}, metrics={"main": {"depth": 2.0}}),
        score(0.0, {"main": 0.0, "format": None}, {"format": "odd"}, metrics={"main": {"depth": 5.0}}),
        DOWN,
    ),
    group("a", DOWN, DOWN, score(None, {"main": None, "format": 0.0}, {"main": "late"})),
    group("b", score(0.5, {"main": 0.5}), score(0.5, {"main": 0.5})),
]
ADVANTAGES = torch.tensor([[0.7, -0.7, NAN], [NAN, NAN, NAN], [0.0, 0.0, NAN]])


def test_undefined_completions_are_counted_by_cause_and_leave_every_mean():
    values = step_metrics(1, GROUPS, ADVANTAGES, [], SECONDS, {}).to_record()
    assert {name: values[f"task/a/{name}"] for name in ("reward", "accuracy", "entropy", "length", "truncated")} == {
        "reward": pytest.approx(0.55),
        "accuracy": 0.5,
        "entropy": pytest.approx(1.5),  # of the two defined completions: 1 and 2
        "length": 3.0,
        "truncated": 0.0,
    }
    assert (values["task/a/completions"], values["task/a/undefined"], values["task/a/dropped_groups"]) == (6, 4, 1)
    undefined = {name: value for name, value in values.items() if "/undefined/" in name}
    assert undefined == {
        "task/a/undefined/main/down": 3,
        "task/a/undefined/main/late": 1,
        "task/a/undefined/format/odd": 1,
    }


def test_a_component_has_its_mean_where_it_is_defined_and_its_own_numbers():
    values = step_metrics(1, GROUPS, ADVANTAGES, [], SECONDS, {}).to_record()
    components = {name: value for name, value in values.items() if "/component/" in name}
    assert components == {
        "task/a/component/main": 0.5,
        "task/a/component/format": pytest.approx(4 / 5),
        "task/a/component/main/depth": 3.5,
        "task/b/component/main": 0.5,
    }


def test_a_task_without_any_defined_completion_has_no_means():
    values = step_metrics(1, [GROUPS[1]], ADVANTAGES[1:2], [], SECONDS, {}).to_record()
    assert (values["task/a/reward"], values["task/a/accuracy"], values["task/a/undefined"]) == (None, None, 3)
    assert (values["task/a/component/main"], values["task/a/component/format"]) == (None, pytest.approx(2 / 3))


def test_tokens_count_of_every_completion_and_their_rate_is_that_of_the_whole_step():
    found = step_metrics(1, GROUPS, ADVANTAGES, [], SECONDS, {}).to_record()
    assert (found["tokens"], found["task/a/tokens"], found["task/b/tokens"]) == (30, 24, 6)
    assert [found[f"seconds/{part}"] for part in ("generate", "wait", "train")] == [1.0, 0.5, 1.5]
    assert found["tokens_per_second"] == 10.0


def test_a_truncated_completion_counts_among_the_defined_ones():
    one = score(1.0, {"main": 1.0})
    values = step_metrics(1, [group("a", one, one, DOWN, one)], torch.zeros(1, 4), [], SECONDS, {}).to_record()
    assert values["task/a/truncated"] == pytest.approx(1 / 3)


def test_groups_without_any_advantage_are_a_share_of_the_task_s_groups():
    values = step_metrics(1, GROUPS, ADVANTAGES, [], SECONDS, {}).to_record()
    assert (values["task/a/frac_reward_zero_std"], values["task/b/frac_reward_zero_std"]) == (0.5, 1.0)


def test_kl_and_clip_are_means_over_a_task_s_rows_of_the_updates_that_were_applied():
    updates = [
        Update(loss=1.0, grad_norm=2.0, kl={"a": [0.1, 0.2]}, clip_frac={"a": [0.0, 0.5], "b": [0.25]}),
        Update(loss=3.0, grad_norm=4.0, kl={"a": [0.6]}, clip_frac={"a": [1.0]}),
        Update(loss=NAN, grad_norm=9.0, kl={"a": [9.0]}, clip_frac={"b": [9.0]}),
    ]
    values = step_metrics(1, GROUPS, ADVANTAGES, updates, SECONDS, {}).to_record()
    names = (
        "loss",
        "grad_norm",
        "updates",
        "nonfinite",
        "task/a/kl",
        "task/b/kl",
        "task/a/clip_frac",
        "task/b/clip_frac",
    )
    assert [values[name] for name in names] == [2.0, 3.0, 2, 1, pytest.approx(0.3), None, 0.5, 0.25]


def compared(candidate: int, reference: int) -> dict[str, dict[str, int]]:
    return {"judge": {"candidate_chars": candidate, "reference_chars": reference}}


LINE = (
    '{"step": 7, "tokens": 20, "seconds/generate": 1.0, "seconds/wait": 0.5, "seconds/train": 1.5, '
    '"tokens_per_second": 6.67, "loss": 1.0, "grad_norm": 2.0, "updates": 1, "nonfinite": 1, '
    '"task/math/reward": null, "task/math/accuracy": null, "task/math/entropy": null, "task/math/length": null, '
    '"task/math/truncated": null, "task/math/completions": 2, "task/math/tokens": 6, "task/math/undefined": 2, '
    '"task/math/frac_reward_zero_std": 1.0, "task/math/dropped_groups": 1, "task/math/component/a": null, '
    '"task/math/component/a-b": null, "task/math/undefined/a-b/y": 2, "task/math/undefined/a/x": 2, '
    '"task/math/kl": null, "task/math/clip_frac": null, "task/writing/reward": 0.55, '
    '"task/writing/accuracy": 0.5, "task/writing/entropy": 0.75, "task/writing/length": 3.0, '
    '"task/writing/truncated": 0.0, "task/writing/completions": 3, "task/writing/tokens": 14, '
    '"task/writing/undefined": 1, "task/writing/frac_reward_zero_std": 0.0, "task/writing/dropped_groups": 0, '
    '"task/writing/component/judge": 0.5, "task/writing/component/format": 1.0, '
    '"task/writing/component/judge/depth": 3.5, "task/writing/component/judge/late": 1.0, '
    '"task/writing/judged/judge/candidate_chars": 20.0, "task/writing/judged/judge/reference_chars": 10.0, '
    '"task/writing/judged/judge/longer": 0.5, "task/writing/judged/judge/preferred_longer": 1.0, '
    '"task/writing/judged/judge/preferred_not_longer": 0.0, "task/writing/judged/judge/length_correlation": 1.0, '
    '"task/writing/undefined/format/odd": 1, "task/writing/undefined/judge/judge_down": 1, '
    '"task/writing/kl": 0.15000000000000002, "task/writing/clip_frac": 0.25, "judge/default/calls": 2, '
    '"judge/default/cached": 0, "judge/default/retries": 0, "judge/default/prompt_tokens": 30, '
    '"judge/default/completion_tokens": 4, "judge/default/cost": 0.5, "judge/default/seconds": 1.25, '
    '"judge/default/failures/judge_down": 2, "judge/default/failures/judge_timeout": 1, "judge/zero/calls": 0, '
    '"judge/zero/cached": 0, "judge/zero/retries": 0, "judge/zero/prompt_tokens": 0, '
    '"judge/zero/completion_tokens": 0, "judge/zero/cost": 0.0, "judge/zero/seconds": 0.0}'
)


def test_the_line_of_a_step_in_metrics_jsonl():
    good = Score(
        reward=1.1,
        components={"judge": 1.0, "format": 1.0},
        metrics={"judge": {"depth": 2.0}},
        details=compared(30, 10),
        correct=1.0,
    )
    bad = Score(
        reward=0.0,
        components={"judge": 0.0, "format": None},
        causes={"format": "odd"},
        metrics={"judge": {"depth": 5.0, "late": 1.0}},
        details=compared(10, 10),
        correct=0.0,
    )
    down = Score(reward=None, components={"judge": None, "format": 1.0}, causes={"judge": "judge_down"}, correct=None)
    failed = Score(reward=None, components={"a": None, "a-b": None}, causes={"a": "x", "a-b": "y"}, correct=None)

    def trajectory(length: int) -> Trajectory:
        entropies = (0.25 * length,) * length
        return Trajectory(text="", token_ids=(0,) * length, entropies=entropies, truncated=length == 8)

    def group_of(task: str, lengths: tuple[int, ...], scores: tuple[Score, ...]) -> RolloutGroup:
        prompt = Prompt(task=task, index=0, text="")
        return RolloutGroup(prompt=prompt, trajectories=tuple(map(trajectory, lengths)), scores=scores)

    groups = [group_of("writing", (2, 4, 8), (good, bad, down)), group_of("math", (2, 4), (failed, failed))]
    updates = [
        Update(loss=1.0, grad_norm=2.0, kl={"writing": [0.1, 0.2]}, clip_frac={"writing": [0.0, 0.5], "math": []}),
        Update(loss=NAN, grad_norm=1.0, kl={}, clip_frac={}),
    ]
    usage = JudgeMetrics(
        calls=2,
        prompt_tokens=30,
        completion_tokens=4,
        cost=0.5,
        seconds=1.25,
        failures={"judge_down": 2, "judge_timeout": 1},
    )
    judges = {"default": usage, "zero": JudgeMetrics()}
    advantages = torch.tensor([[0.7, -0.7, NAN], [NAN, NAN, NAN]])
    metrics = step_metrics(7, groups, advantages, updates, Seconds(1.00004, 0.5, 1.5), judges)
    assert json.dumps(metrics.to_record()) == LINE
