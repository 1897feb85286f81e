"""Verifier processes: deadlines, crashes, replacement, threads."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from omnithinker.errors import RewardError
from omnithinker.rewards import math_pool
from omnithinker.rewards.math_answer import MathAnswer
from omnithinker.rewards.math_pool import Equality, MathPool
from omnithinker.types import Prompt, Trajectory, Undefined

ENDLESS = r"\prod_{n=1}^{9999}(n^n+1)"
"""Passes the guards and keeps computer algebra busy for minutes."""

FAKE_WORKER = """
import json, os, sys, time
print("ready", flush=True)
for line in sys.stdin:
    gold, answer = json.loads(line)
    if answer == "hang":
        time.sleep(600)
    if answer == "die":
        os.kill(os.getpid(), 9)
    if answer == "die once" and not os.path.exists(gold):
        open(gold, "w").close()
        os._exit(1)
    if answer == "environment":
        print("different" if "SECRET_KEY" in os.environ else "equal", flush=True)
    else:
        print("equal" if gold == answer or answer == "die once" else "different", flush=True)
"""


@pytest.fixture
def fake_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "worker.py"
    path.write_text(FAKE_WORKER)
    monkeypatch.setattr(math_pool, "WORKER", path)


def test_overrun_is_a_timeout_and_the_pool_goes_on() -> None:
    with MathPool(1, cpu_seconds=0.3) as pool:
        assert pool.compare("9", ENDLESS) is Equality.TIMEOUT
        assert pool.compare("1+x", "x+1") is Equality.EQUAL
        assert (pool.started, pool.restarts) == (1, 0)


STRESSED_WORKER = """
import importlib.util, itertools, os, signal, sys
spec = importlib.util.spec_from_file_location("math_worker", {path!r})
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)

def judge(gold, answer):
    if answer == "c code":
        sum(itertools.repeat(1, 10**12))  # no signal handler of Python runs inside
    if answer == "python":
        while True:
            pass
    if answer == "memory":
        bytearray(10**11)
    if answer == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    return "equal"

worker.judge = judge
worker.main()
"""


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("c code", Equality.TIMEOUT),
        ("python", Equality.TIMEOUT),
        ("memory", Equality.CRASHED),
        ("segfault", Equality.CRASHED),
    ],
)
def test_what_goes_wrong_in_a_worker_harms_only_its_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, verdict: Equality
) -> None:
    path = tmp_path / "worker.py"
    path.write_text(STRESSED_WORKER.format(path=str(math_pool.WORKER)))
    monkeypatch.setattr(math_pool, "WORKER", path)
    with MathPool(1, cpu_seconds=0.2) as pool:
        pool._wall_seconds = 120  # on a busy machine, the CPU time limit may take long to reach
        assert pool.compare("5", answer) is verdict
        assert pool.compare("5", "5") is Equality.EQUAL
        assert (pool.started, pool.restarts) == (1, 0)


def test_a_process_that_hangs_is_killed(fake_worker: None) -> None:
    with MathPool(1) as pool:
        pool._wall_seconds = 0.2
        assert pool.compare("a", "hang") is Equality.TIMEOUT
        assert pool.restarts == 1
        assert pool.compare("a", "a") is Equality.EQUAL


def test_a_process_that_dies_is_replaced_and_the_pair_tried_once_more(fake_worker: None, tmp_path: Path) -> None:
    with MathPool(1) as pool:
        assert pool.compare("a", "die") is Equality.CRASHED
        assert pool.restarts == 2
        assert pool.compare(str(tmp_path / "mark"), "die once") is Equality.EQUAL
        assert pool.restarts == 3


def test_workers_do_not_inherit_secrets(fake_worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "sk-123")
    with MathPool(1) as pool:
        assert pool.compare("a", "environment") is Equality.EQUAL


def test_a_worker_that_cannot_start_is_an_error_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "worker.py"
    path.write_text("import no_such_library")
    monkeypatch.setattr(math_pool, "WORKER", path)
    with MathPool(1) as pool, pytest.raises(RewardError, match="No module named 'no_such_library'"):
        pool.compare("a", "b")


def test_failures_are_undefined_with_their_cause_and_not_remembered(fake_worker: None) -> None:
    with MathPool(1) as pool:
        pool._wall_seconds = 0.2
        reward = MathAnswer(pool)
        prompt = Prompt(task="math", index=0, text="", row={"answer": "x+y"})
        group = [Trajectory(text=f"<answer>{text}</answer>") for text in ("hang", "die", "z+y")]
        group[0] = Trajectory(text="<answer>hang</answer>")
        values = [value.cause if isinstance(value, Undefined) else value for value in reward.score_group(prompt, group)]
        assert values == ["verifier_timeout", "verifier_crashed", 0]
        restarts = pool.restarts
        reward.score_group(prompt, group)
        assert pool.restarts == restarts * 2  # both failures were asked again, the verdict was not


def test_many_threads_share_the_pool(fake_worker: None) -> None:
    with MathPool(2) as pool, ThreadPoolExecutor(8) as threads:
        verdicts = list(threads.map(lambda i: pool.compare(f"{i}", f"{i - i % 2}"), range(200)))
        assert verdicts == [Equality.DIFFERENT if i % 2 else Equality.EQUAL for i in range(200)]
        assert pool.started <= 2


def test_close_leaves_no_process_behind() -> None:
    pool = MathPool(1)
    pool.compare("1+x", "x+1")
    (process,) = pool.process_ids()
    pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, signal.SIG_DFL)


def test_workers_end_with_their_parent_however_it_ends() -> None:
    code = (
        "from omnithinker.rewards.math_pool import MathPool\n"
        "import os\n"
        "pool = MathPool(1)\n"
        "pool.compare('1+x', 'x+1')\n"
        "print(*pool.process_ids(), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    # Reading to the end of the output means that nobody holds the parent's end any more ...
    (process,) = map(int, done.stdout.split())
    # ... and the worker, whose input has ended, goes by itself.
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(process)
        assert select.select([descriptor], [], [], 60)[0]
        os.close(descriptor)
