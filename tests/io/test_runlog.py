"""Logs of a run."""

from __future__ import annotations

from omnithinker.io.files import read_json_lines
from omnithinker.io.runlog import RunLog
from omnithinker.types import Prompt, RolloutGroup, Score, Trajectory


def test_rollouts_over_several_turns_keep_their_masks(tmp_path):
    one = Trajectory(text="five", token_ids=(1, 2))
    turns = Trajectory(
        text="call five",
        token_ids=(1, 7, 8, 2),
        attention_mask=(True, True, False, True),
        action_mask=(True, False, False, True),
    )
    scores = (Score(reward=1.0, components={"a": 1.0}), Score(reward=None, components={"a": None}, causes={"a": "x"}))
    group = RolloutGroup(prompt=Prompt(task="math", index=0, text="q"), trajectories=(one, turns), scores=scores)
    log = RunLog(tmp_path, 0)
    for step in range(1, 7):
        log.rollouts(step, [group])
    records = read_json_lines(tmp_path / "rollouts.jsonl")
    assert [record["step"] for record in records] == [1, 5]
    assert records[0] == {
        "step": 1,
        "task": "math",
        "prompt": "q",
        "completions": [
            {"text": "five", "reward": 1.0, "components": {"a": 1.0}, "causes": {}}
            | {"correct": None, "length": one.length, "truncated": False},
            {
                "text": "call five",
                "reward": None,
                "components": {"a": None},
                "causes": {"a": "x"},
                "correct": None,
                "length": turns.length,
                "truncated": False,
                "token_ids": [1, 7, 8, 2],
                "attention_mask": [True, True, False, True],
                "action_mask": [True, False, False, True],
            },
        ],
    }
