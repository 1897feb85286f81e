"""Signals at any time: SIGTERM is Ctrl-C, and neither leaves a traceback."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from omnithinker.ui.interrupt import StopFlag, interruptible
from tests.builders import ROOT

# Sends a signal while the n-th module is imported, counted from the first of omnithinker.
PROGRAM = """
import os, runpy, signal, sys
number, left, arguments = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
signal.signal(signal.SIGINT, signal.default_int_handler)

class Finder:
    def find_spec(self, name, path=None, target=None):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)

import omnithinker.__main__  # until its first line, Python's own handlers are in force
sys.meta_path.insert(0, Finder())
sys.argv = ["omnithinker", *arguments]
runpy.run_module("omnithinker", run_name="__main__", alter_sys=True)
"""


def run(number: int, module: int, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(int(number)), str(module), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", [1, 10, 100, 600, 1500])
def test_a_signal_during_imports(number, module, tmp_path):
    done = run(number, module, "train", "lab-quick", "--task", "qa", "--set", "training.max_steps=1", cwd=tmp_path)
    # Before the command has begun, the signal ends the process itself, and a shell reports 130 or 143.
    assert done.returncode in ({130, -number} if module == 1 else {130})
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if done.returncode == 130:
        assert done.stderr.endswith("\nomnithinker train: interrupted; run the same command to resume\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_raises_keyboard_interrupt_in_a_command(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible("stopped"):
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_an_ignored_signal_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible("stopped"):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_ignored_signal_does_not_stop_training_either():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopFlag() as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop.requested
            signal.raise_signal(signal.SIGTERM)
            assert stop.requested
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_in_the_middle_of_a_message(monkeypatch):
    """A buffered stream refuses to be used by a handler while the program is writing to it."""

    class Busy(io.StringIO):
        def write(self, text: str) -> int:
            raise RuntimeError("reentrant call inside a buffered writer")

    monkeypatch.setattr(sys, "stderr", Busy())
    with StopFlag() as stop:
        signal.raise_signal(signal.SIGTERM)
    assert stop.requested
