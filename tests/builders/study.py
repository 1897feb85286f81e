"""A whole study of two tiny tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnithinker.cli import main

REWARD = '''
import os, pathlib, signal, threading

one_at_a_time = threading.Lock()  # groups are scored in several threads

def letters(completions, completion_ids, **columns):
    """Share of even tokens. Kills the process at its n-th call when the file `deadly` holds n."""
    deadly = pathlib.Path(__file__).with_name("deadly")
    with one_at_a_time:
        if deadly.exists():
            left = int(deadly.read_text()) - 1
            if left <= 0:
                deadly.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            deadly.write_text(str(left))
    return [sum(t % 2 == 0 for t in ids) / len(ids) for ids in completion_ids]
'''


RECIPE = """
output = "{output}"
[model]
path = "{model}"
device = "cpu"
threads = 1
[sampling]
completions = 3
max_new_tokens = 5
[training]
learning_rate = 3e-3
prompts_per_step = 3
checkpoint_every = 1
[evaluation]
items = 6
every = 1
[tasks.up]
train = "up.jsonl"
test = "up.jsonl"
rewards.letters = {{ kind = "python:letters_reward:letters" }}
[tasks.down]
train = "down.jsonl"
test = "down.jsonl"
prompt = "down {{prompt}}"
beta = 0.05
rewards.letters = {{ kind = "python:letters_reward:letters" }}
rewards.tags = 0.1
"""


@pytest.fixture
def recipe(tmp_path: Path, model_folder: Path, monkeypatch) -> Path:
    (tmp_path / "letters_reward.py").write_text(REWARD)
    monkeypatch.syspath_prepend(str(tmp_path))
    for task in ("up", "down"):
        rows = [json.dumps({"prompt": f"{task} {i}"}) for i in range(6)]
        (tmp_path / f"{task}.jsonl").write_text("\n".join(rows) + "\n")
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(output=tmp_path / "study", model=model_folder))
    return path


def study(*arguments: object) -> int:
    return main(["study", *map(str, arguments)])
