"""Preference beside length in the metrics of a step, on groups made by hand."""

from __future__ import annotations

import pytest
import torch

from omnithinker.rewards.base import Component, combine
from omnithinker.rewards.format_tags import Tags
from omnithinker.train.metrics import step_metrics
from omnithinker.types import Prompt, RewardOutput, RolloutGroup, Trajectory, Undefined
from tests.builders.metrics import NO_TIME


def judged(*compared: tuple[float | None, int, int]) -> dict[str, float | None]:
    """Metrics of a step that compared texts: (preference or undefined, candidate's and reference's characters)."""
    components = [Component("judge", Tags(), 1.0, True), Component("tags", Tags(), 0.1, False)]
    scores = []
    for preference, candidate, reference in compared:
        lengths = {"candidate_chars": candidate, "reference_chars": reference}
        value = Undefined("judge_down") if preference is None else preference
        scores.append(combine(components, [RewardOutput(value, lengths), 1.0]))
    prompt = Prompt(task="w", index=0, text="")
    group = RolloutGroup(prompt=prompt, trajectories=(Trajectory(text=""),) * len(scores), scores=tuple(scores))
    metrics = step_metrics(1, [group], torch.zeros(1, len(scores)), [], NO_TIME, {})
    return metrics.tasks["w"].judged.get("judge", {})


def test_preference_is_reported_for_longer_and_other_answers():
    assert judged((1.0, 30, 10), (0.5, 20, 10), (0.0, 10, 10), (0.5, 4, 10)) == {
        "candidate_chars": 16.0,
        "reference_chars": 10.0,
        "longer": 0.5,
        "preferred_longer": 0.75,
        "preferred_not_longer": 0.25,
        # Deviations 14, 4, -6, -12 and 0.5, 0, -0.5, 0: 10 / sqrt(392 * 0.5).
        "length_correlation": pytest.approx(5 / 7),
    }


def test_undefined_preferences_do_not_count():
    assert judged((1.0, 30, 10), (None, 1000, 10))["candidate_chars"] == 30.0
    assert judged((None, 30, 10)) == {}


def test_what_has_no_value_is_none():
    alike = judged((1.0, 30, 10), (1.0, 20, 10))
    assert alike["length_correlation"] is None
    assert alike["preferred_not_longer"] is None
    assert judged((1.0, 30, 10))["length_correlation"] is None
