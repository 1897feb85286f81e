"""Real training processes that are killed, lose their disk or are interrupted end as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from omnithinker.io.layout import LOCK
from omnithinker.train.checkpoint import list_checkpoints
from tests.builders import ROOT
from tests.builders.policy import make_policy

REWARD = '''
import pathlib, sys, time

def letters(completions, completion_ids, **columns):
    """Share of even tokens; says so and never comes back while the file `stuck` is there."""
    if pathlib.Path(__file__).with_name("stuck").exists():
        print("scoring", flush=True)
        time.sleep(3600)
    return [sum(t % 2 == 0 for t in ids) / len(ids) for ids in completion_ids]
'''

# Eight steps of two minibatches: an epoch ends after 2 and 6, the task changes after 4.
RECIPE = """
[model]
path = "{model}"
device = "cpu"
threads = 1
[sampling]
completions = 3
max_new_tokens = 5
[training]
learning_rate = 3e-3
warmup_steps = 3
prompts_per_step = 2
minibatches = 2
epochs = 2
checkpoint_every = 1
[evaluation]
items = 4
every = 3
[tasks.up]
train = "up.jsonl"
test = "up.jsonl"
rewards.letters = {{ kind = "python:letters_reward.py:letters" }}
[tasks.down]
train = "down.jsonl"
test = "down.jsonl"
prompt = "down {{prompt}}"
beta = 0.05
rewards.letters = {{ kind = "python:letters_reward.py:letters" }}
rewards.tags = 0.1
"""


class World:
    """A recipe, a host for processes, and what a run that nothing happens to leaves behind.

    Args:
        folder: for everything.
        settings: in place of the recipe's.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder = folder
        make_policy().save(folder / "model")
        (folder / "letters_reward.py").write_text(REWARD)
        for task in ("up", "down"):
            rows = [json.dumps({"prompt": f"{task} {i}"}) for i in range(4)]
            (folder / f"{task}.jsonl").write_text("\n".join(rows) + "\n")
        (folder / "tiny.toml").write_text(RECIPE.format(model=folder / "model"))
        self.settings = [word for setting in settings for word in ("--set", setting)]
        self.host = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.host"],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        whole = self.run("whole", count=True)
        assert whole["status"] == 0, whole["output"]
        self.moments = json.loads(whole["output"].splitlines()[-1])
        self.whole = contents(folder / "whole")

    def arguments(self, output: Path | str) -> list[str]:
        recipe, out = str(self.folder / "tiny.toml"), str(self.folder / output)
        return ["train", recipe, "--schedule", "curriculum", "--order", "up,down", "--output", out, *self.settings]

    def run(self, output: Path | str, **fault) -> dict:
        """Run the command in a process of its own; its exit status and what it printed."""
        print(json.dumps({"argv": self.arguments(output)} | fault), file=self.host.stdin, flush=True)
        return json.loads(self.host.stdout.readline())

    def close(self) -> None:
        self.host.stdin.close()
        self.host.wait()
        self.host.stdout.close()


def contents(folder: Path) -> dict[str, object]:
    """Every file of a run folder, the hidden ones too, without what depends on the clock, and without a lock file.

    A process that is killed between its result and the release of its lock leaves the file; nobody holds it.
    """
    found: dict[str, object] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != LOCK):
        name = str(file.relative_to(folder))
        if name == "metrics.jsonl":
            records = [json.loads(line) for line in file.read_text().splitlines()]
            found[name] = [{k: v for k, v in record.items() if "second" not in k} for record in records]
        elif name == "result.json":
            found[name] = {k: v for k, v in json.loads(file.read_text()).items() if k != "seconds"}
        else:
            found[name] = file.read_bytes()
    return found


def assert_same(found: dict[str, object], whole: dict[str, object]) -> None:
    assert sorted(found) == sorted(whole)
    for name, content in whole.items():
        assert found[name] == content, name


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """A world that checkpoints every third step only."""
    made = World(tmp_path_factory.mktemp("rare"), "training.checkpoint_every=3")
    yield made
    made.close()


def places(seed: int, **counts: int) -> list[tuple[str, float]]:
    """Rooms, and how far through their calls, in [0, 1)."""
    chance = random.Random(seed)
    return [(room, chance.random()) for room, count in counts.items() for _ in range(count)]


def kill_and_go_on(world: World, folder: Path, room: str, share: float) -> None:
    at = 1 + int(share * world.moments[room])
    killed = world.run(folder, room=room, at=at)
    assert killed["status"] == -signal.SIGKILL, killed["output"]
    again = world.run(folder)
    assert again["status"] == 0, again["output"]
    assert_same(contents(folder), world.whole)


def test_the_whole_run_is_what_it_should_be(world):
    assert [record["step"] for record in world.whole["metrics.jsonl"]] == list(range(1, 9))
    assert {record["updates"] for record in world.whole["metrics.jsonl"]} == {2}
    assert {"eval/step-3.json", "eval/step-6.json", "eval/step-8.json"} < set(world.whole)
    assert {Path(name).parent.name for name in world.whole if "checkpoints" in name} == {"step-7", "step-8"}
    assert all(world.moments[room] > 500 for room in ("checkpoint", "logs", "update", "run", "anywhere"))


@pytest.mark.parametrize(("room", "share"), places(0, checkpoint=5, logs=3, update=3, run=2, anywhere=1))
def test_killed_at_any_moment(world, tmp_path, room, share):
    kill_and_go_on(world, tmp_path / "run", room, share)


@pytest.mark.parametrize(("room", "share"), places(1, checkpoint=2, update=2, run=2))
def test_killed_at_any_moment_with_rare_checkpoints(rare, tmp_path, room, share):
    kill_and_go_on(rare, tmp_path / "run", room, share)


def test_killed_while_the_best_weights_are_kept(tmp_path):
    world = World(tmp_path, "evaluation.validation_items=2", "evaluation.every=1")
    try:
        assert "checkpoints/best/model.safetensors" in world.whole
        for number, (room, share) in enumerate(places(5, best=4)):
            kill_and_go_on(world, tmp_path / f"run-{number}", room, share)
    finally:
        world.close()


@pytest.mark.slow
@pytest.mark.parametrize(("room", "share"), places(2, checkpoint=40, logs=20, update=20, run=20))
def test_killed_at_a_hundred_moments(world, tmp_path, room, share):
    kill_and_go_on(world, tmp_path / "run", room, share)


def test_killed_again_and_again(world, tmp_path):
    chance = random.Random(3)
    deaths = 0
    for room in ("update", "checkpoint", "logs", "checkpoint", "run"):
        # Each life is shorter than a fourth of the run, so none but the last gets to its end.
        at = chance.randint(1, world.moments[room] // 4)
        deaths += world.run(tmp_path / "run", room=room, at=at)["status"] == -signal.SIGKILL
    assert deaths == 5
    assert world.run(tmp_path / "run")["status"] == 0
    assert_same(contents(tmp_path / "run"), world.whole)


@pytest.mark.parametrize(("room", "share"), places(4, checkpoint=4, logs=2))
def test_a_disk_that_takes_no_more(world, tmp_path, room, share):
    folder = tmp_path / "run"
    full = world.run(folder, room=room, at=1 + int(share * world.moments[room]), action="full")
    assert full["status"] in (1, 2), full["output"]
    message = [line for line in full["output"].splitlines() if line.startswith("omnithinker train: ")]
    assert len(message) == 1
    assert "File too large" in message[0]
    assert "Traceback" not in full["output"]
    before = contents(folder / "checkpoints") if (folder / "checkpoints").exists() else {}
    assert not [name for name in before if name.startswith(".")]  # half a checkpoint would take the space that is left
    assert world.run(folder)["status"] == 0
    assert_same(contents(folder), world.whole)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "none", disk], capture_output=True)
    if not made or made.returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk(rare, small_disk):
    folder = small_disk / "run"
    used = sum(len(content) for content in rare.whole.values() if isinstance(content, bytes))
    filler = small_disk / "filler"
    # Room for one checkpoint and half of another.
    filler.write_bytes(bytes(2 * 2**20 - used * 3 // 4))
    full = rare.run(folder)
    assert full["status"] == 1, full["output"]
    assert "No space left on device; make space" in full["output"]
    assert [path.name for path in list_checkpoints(folder / "checkpoints")] == ["step-3"]
    assert "Traceback" not in full["output"]
    filler.unlink()
    again = rare.run(folder)
    assert again["status"] == 0, again["output"]
    assert_same(contents(folder), rare.whole)


def test_a_second_interrupt_ends_at_once_and_the_run_goes_on(world, tmp_path):
    folder, stuck = tmp_path / "run", world.folder / "stuck"
    world.run(folder, room="checkpoint", at=world.moments["checkpoint"] // 2)
    finished = [path.name for path in list_checkpoints(folder / "checkpoints")]
    stuck.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "omnithinker", *world.arguments(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        read_until(process, "scoring")
        process.send_signal(signal.SIGINT)
        read_until(process, "press Ctrl-C again to stop at once")
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
        stuck.unlink()
    assert process.returncode == 130
    assert "interrupted; run the same command to resume" in output
    assert "Traceback" not in output
    assert [path.name for path in list_checkpoints(folder / "checkpoints")] == finished
    assert world.run(folder)["status"] == 0
    assert_same(contents(folder), world.whole)


def read_until(process: subprocess.Popen[str], words: str) -> None:
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return
    raise AssertionError(f"ended without {words!r}: {''.join(seen)}")
