"""Training with a judge behind an endpoint: budgets, what it cost, deadlines, lengths."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from safetensors.torch import load_file

from omnithinker.cli import main
from omnithinker.io.files import read_json, read_json_lines
from omnithinker.rewards.base import Component
from omnithinker.rewards.runner import Scorer
from omnithinker.types import Prompt, RolloutGroup, Trajectory
from tests.builders.fake_endpoint import FakeEndpoint, Reply
from tests.builders.judged import JUDGED, RECIPE, STEPS, verdict


@pytest.fixture
def command(tmp_path: Path, model_folder: Path, server: FakeEndpoint):
    """A function that gives the arguments that train into a folder, with settings changed."""
    rows = [{"prompt": f"Write {i}.", "reference": "A reference of some length."} for i in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def arguments(name: str, *changes: str) -> list[str]:
        path = tmp_path / "recipe.toml"
        path.write_text(RECIPE.format(model=model_folder, url=server.url, cache=f"{name}.sqlite"))
        options = [word for change in changes for word in ("--set", change)]
        return ["train", str(path), "--task", "writing", "--output", str(tmp_path / name), *options]

    return arguments


@pytest.fixture
def train(command):
    """A function that trains into a folder, with settings changed, and returns the exit code."""
    return lambda name, *changes: main(command(name, *changes))


def weights(folder: Path) -> dict[str, bytes]:
    tensors = load_file(folder / f"checkpoints/step-{STEPS}/model.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_a_spent_budget_stops_after_a_step_and_a_larger_one_resumes_without_repeated_calls(
    train, tmp_path, server, capsys
):
    assert train("whole") == 0
    # An item that is answered alike with and without chance is judged once.
    asked = len(server.requests)
    assert 4 * 9 < asked <= JUDGED
    server.requests.clear()

    assert train("parts", "judges.default.budget=20") == 130
    said = capsys.readouterr().err.strip()
    assert said.startswith("omnithinker train: stopped after step 2: judge m: the budget of 20 is spent")
    assert said.endswith("raise judges.default.budget and run the same command again to resume")
    assert "\n" not in said
    # Two steps of 9 calls are kept; of the third, what was under way when the money ran out.
    assert [path.name for path in (tmp_path / "parts/checkpoints").iterdir()] == ["step-2"]
    paid = len(server.requests)
    assert 20 <= paid < 20 + 4

    assert train("parts", "judges.default.budget=20") == 130  # what is spent stays spent
    assert len(server.requests) == paid
    assert train("parts", "judges.default.budget=100") == 0
    assert len(server.requests) == asked
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")

    usage = read_json(tmp_path / "parts/result.json")["judges"]["default"]
    assert (usage["model"], usage["calls"], usage["cost"]) == ("m", asked, asked)
    # Both restarts met the calls of the third step again.
    assert usage["cached"] == JUDGED - asked + 2 * (paid - 18)
    last = read_json_lines(tmp_path / "parts/metrics.jsonl")[-1]
    assert (last["step"], last["judge/default/cost"]) == (STEPS, 4 * 9)


def test_what_judges_did_is_logged_step_by_step(train, tmp_path, server):
    def undecided_about_the_first(body: dict) -> Reply:
        asked = [request["messages"][1]["content"] for request in server.requests]
        return Reply("No verdict.", tokens=(5, 2)) if asked[-1] == asked[0] else Reply(tokens=(5, 2))

    server.answer = undecided_about_the_first
    assert train("run", "training.max_undefined=1") == 0
    records = read_json_lines(tmp_path / "run/metrics.jsonl")
    failed = [record["judge/default/failures/judge_unparseable"] for record in records]
    assert failed[0] >= 1
    # A judgment that fails takes two calls.
    calls = [record["judge/default/calls"] for record in records]
    assert calls == [9 * (step + 1) + count for step, count in enumerate(failed)]
    assert [record["judge/default/prompt_tokens"] for record in records] == [5 * count for count in calls]
    assert [record["judge/default/completion_tokens"] for record in records] == [2 * count for count in calls]
    undefined = sum(record.get("task/writing/undefined/pairwise_judge/judge_unparseable", 0) for record in records)
    assert undefined == failed[-1]


def test_a_judge_has_so_much_time_for_a_run(train, tmp_path, server, capsys):
    assert train("run", "judges.default.run_deadline_s=1e-9", "judges.default.concurrency=1") == 130
    assert "stopped after step 0: judge m: its 1e-09 s for this run are used up" in capsys.readouterr().err
    assert train("run", "judges.default.run_deadline_s=3600") == 0
    assert 0 < read_json(tmp_path / "run/result.json")["judges"]["default"]["seconds"] < 3600


def test_a_judge_that_is_down_stops_the_run_by_name_and_keeps_the_steps(train, tmp_path, server, capsys):
    assert train("run", "judges.default.retries=0", "judges.default.timeout_s=5") == 0
    server.answer = lambda body: Reply("no", status=500)
    limits = ("judges.default.retries=0", "training.max_undefined=0.01")
    assert train("down", *limits) == 1
    said = capsys.readouterr().err
    assert "reward 'pairwise_judge' of task 'writing' was undefined for 9 completions in 1 steps (judge_down 9)" in said


def test_an_error_of_a_reward_keeps_the_last_finished_step(train, tmp_path, server, capsys):
    def wrong_key_later(body: dict) -> Reply:
        return verdict(body) if len(server.requests) <= 9 else Reply("no such key", status=401)

    server.answer = wrong_key_later
    assert train("run") == 2
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-1"]
    assert "check model, base_url and the key in OPENAI_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("on_error", ["stop", "undefined"])
def test_a_full_disk_is_one_line_and_the_run_resumes(command, tmp_path, server, on_error):
    arguments = command(
        "run",
        f"judges.default={{kind='chat', model='m', base_url='{server.url}', concurrency=1}}",  # no cache
        f"tasks.writing.rewards={{pairwise_judge={{on_error='{on_error}'}}}}",
        "training.checkpoint_every=1",
    )

    def lose_disk_in_the_second_step(body: dict) -> Reply:
        if len(server.requests) == 12:
            # From now on no file of the process can grow.
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        return verdict(body)

    server.answer = lose_disk_in_the_second_step
    process = subprocess.Popen([sys.executable, "-m", "omnithinker", *arguments], stderr=subprocess.PIPE, text=True)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 1
    assert said == (
        f"omnithinker train: {tmp_path}/run/judges.jsonl: cannot be written: File too large; make space and repeat the "
        "command, which resumes from the last checkpoint\n"
    )
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-1"]
    assert len(server.requests) == 12  # nothing is asked whose cost cannot be written

    server.answer = verdict
    assert main(arguments) == 0
    usage = read_json(tmp_path / "run/result.json")["judges"]["default"]
    assert usage["calls"] == 11 + len(server.requests[12:])


REWARD = """
import threading

asked = []

def hangs(completions, **columns):
    asked.append(1)
    if len(asked) > 3:
        threading.Event().wait()
    return [float(len(text) % 2) for text in completions]
"""


def test_rewards_that_hang_are_counted_and_stop_the_run(train, tmp_path, monkeypatch, capsys):
    (tmp_path / "hanging_reward.py").write_text(REWARD)
    monkeypatch.syspath_prepend(str(tmp_path))
    mine = 'tasks.writing.rewards={mine={kind="python:hanging_reward:hangs", deadline_s=0.5}}'
    assert train("run", mine, "training.max_undefined=0.01") == 1
    assert "reward 'mine' of task 'writing' was undefined for 9 completions in 2 steps (deadline 9)" in (
        capsys.readouterr().err
    )
    assert [record["task/writing/undefined"] for record in read_json_lines(tmp_path / "run/metrics.jsonl")] == [0, 9]


def test_a_group_is_scored_while_others_are_generated(monkeypatch):
    scored = threading.Event()

    class Tells:
        def score_group(self, prompt, completions):
            scored.set()
            return [1.0 if prompt.index == 1 else 0.5 for _ in completions]

    def second_first(prompts):
        said = (Trajectory(text="x"),)
        yield 1, RolloutGroup(prompt=prompts[1], trajectories=said)
        assert scored.wait(60), "scoring waits for generation to end"
        yield 0, RolloutGroup(prompt=prompts[0], trajectories=said)

    prompts = [Prompt(task="w", index=index, text="") for index in range(2)]
    with Scorer({"w": [Component("mine", Tells(), 1.0, True)]}) as scorer:
        pending = scorer.score(second_first(prompts))
        groups = pending.groups()
    assert pending.in_generation_order([0, 1]) == [1, 0]
    assert [group.scores[0].reward for group in groups] == [0.5, 1.0]
