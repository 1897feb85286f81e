"""Completions of an evaluation: all of them are saved, in bounded size."""

from __future__ import annotations

import json
from pathlib import Path

from omnithinker.cli import main
from omnithinker.evals import completions as module
from omnithinker.evals.completions import EvaluatedCompletions, abridged
from omnithinker.types import Prompt, RolloutGroup, Score, Trajectory


def group(text, index, correct=1.0):
    return RolloutGroup(
        prompt=Prompt(task="t", index=index, text="q", row={}),
        trajectories=(Trajectory(text=text, token_ids=(1, 2)),),
        scores=(Score(reward=correct, correct=correct, components={"m": correct}),),
    )


def test_every_completion_is_a_line(tmp_path):
    completions = EvaluatedCompletions()
    completions.add("t", [group("a\u2028b", 0), group("lone \ud800", 3)], [group("c", 0, 0.0), group("d", 3)])
    completions.save(tmp_path / "x.jsonl")
    lines = (tmp_path / "x.jsonl").read_bytes().split(b"\n")[:-1]
    records = [json.loads(line) for line in lines]
    assert [(r["task"], r["index"], r["decoding"], r["text"], r["correct"]) for r in records] == [
        ("t", 0, "greedy", "a\u2028b", 1.0),
        ("t", 3, "greedy", "lone \ud800", 1.0),
        ("t", 0, "sampled", "c", 0.0),
        ("t", 3, "sampled", "d", 1.0),
    ]
    assert records[2] == {
        "task": "t",
        "index": 0,
        "decoding": "sampled",
        "text": "c",
        "reward": 0.0,
        "components": {"m": 0.0},
        "causes": {},
        "correct": 0.0,
        "length": 2,
        "truncated": False,
    }


def test_long_texts_lose_their_middle(tmp_path, monkeypatch):
    assert abridged("abc", 3) == "abc"
    assert abridged("a" * 10 + "b" * 90, 30) == "a" * 10 + "\n[... 70 characters left out ...]\n" + "b" * 20
    monkeypatch.setattr(module, "FILE_CHARS", 4_000)
    completions = EvaluatedCompletions()
    completions.add("t", [group("x" * 5_000, i) for i in range(4)], [group("", i) for i in range(4)])
    completions.save(tmp_path / "x.jsonl")
    records = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert "4500 characters left out" in records[0]["text"]


def test_the_command_saves_all_and_shows_some(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["evaluate", "lab-quick", "--task", "qa", "--set", "evaluation.items=5"]
    assert main([*arguments, "--show", "2"]) == 0
    out, err = capsys.readouterr()
    assert "all completions: runs/lab-quick-evaluate/base.jsonl" in err
    assert out.count("● greedy") == out.count("● sampled") == 2
    assert "qa, item 1" in out
    assert "qa, item 2" not in out
    records = [json.loads(line) for line in Path("runs/lab-quick-evaluate/base.jsonl").read_text().splitlines()]
    assert [(r["decoding"], r["index"]) for r in records] == [
        (decoding, index) for decoding in ("greedy", "sampled") for index in range(5)
    ]
    result = json.loads(Path("runs/lab-quick-evaluate/base.json").read_text())["qa"]
    assert result["outcomes"] == [record["correct"] for record in records[:5]]
    assert main([*arguments, "--json", "--output", "other/mine.json"]) == 0
    out, _ = capsys.readouterr()
    assert json.loads(out)["qa"]["outcomes"] == result["outcomes"]
    assert (tmp_path / "other/mine.jsonl").read_text() == (tmp_path / "runs/lab-quick-evaluate/base.jsonl").read_text()
    assert main([*arguments, "--output", "mine.jsonl"]) == 2
    assert main([*arguments, "--show", "-1"]) == 2
