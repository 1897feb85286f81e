"""Runs the command line in forked processes that die, or lose their disk, at a chosen moment.

Reads requests as JSON lines from standard input and answers each with one line on standard output. Everything is
imported once, before the first fork: a process is then a matter of milliseconds.

A *moment* is the n-th call of any function, Python's or C's, while a *room* of the program is being used in the same
thread. Moments are counted and not timed, so they are the same at each try.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from omnithinker.cli import main
from omnithinker.config.model import ModelSettings
from omnithinker.io import files, runlog
from omnithinker.policy.loading import load_policy
from omnithinker.train import checkpoint
from omnithinker.train import trainer as train
from omnithinker.train.run import run_training
from tests.builders.policy import make_policy

ROOMS = {
    "checkpoint": [checkpoint.take_snapshot, checkpoint.save_checkpoint],
    "best": [checkpoint.keep_best],
    "logs": [runlog.RunLog.__init__, runlog.RunLog.step, runlog.RunLog.rollouts, files.write_text],
    "update": [train.update_policy],
    "run": [run_training],
    "anywhere": [main],
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def lose_disk() -> None:
    """From now on no file of this process can grow."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


class Moments:
    """Counts the calls in each room; does something at the n-th of one."""

    def __init__(self, room: str | None, at: int, action) -> None:
        self.counts: Counter[str] = Counter()
        self._room, self._at, self._action = room, at, action
        self._doors = {function.__code__: name for name, functions in ROOMS.items() for function in functions}
        self._threads: dict[int, Counter[str]] = {}

    def __call__(self, frame, event, _argument) -> None:
        inside = self._threads.setdefault(threading.get_ident(), Counter())
        door = self._doors.get(frame.f_code) if event in ("call", "return") else None
        if door is not None:
            inside[door] += 1 if event == "call" else -1
        if event not in ("call", "c_call"):
            return
        for room, depth in inside.items():
            if depth > 0:
                self.counts[room] += 1
                if room == self._room and self.counts[room] == self._at:
                    self._action()


def child(request: dict) -> int:
    action = {"kill": die, "full": lose_disk}[request.get("action", "kill")]
    if not request.get("room") and not request.get("count"):
        return main(request["argv"])
    moments = Moments(request.get("room"), request.get("at", 0), action)
    threading.setprofile(moments)  # checkpoints are written in a thread of their own
    sys.setprofile(moments)
    code = main(request["argv"])
    sys.setprofile(None)
    if request.get("count"):
        print("\n" + json.dumps(moments.counts))
    return code


def warm_up() -> None:
    """Import what loading and saving a model import when they are first used."""
    with tempfile.TemporaryDirectory() as folder:
        make_policy().save(Path(folder))
        load_policy(ModelSettings(path=folder, device="cpu", threads=1))


def serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            code = 70
            try:
                code = child(request)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        os.close(writer)
        with open(reader, encoding="utf-8") as stream:
            output = stream.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps({"status": status, "output": output}), flush=True)


if __name__ == "__main__":
    warm_up()
    serve()
