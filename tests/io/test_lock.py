"""The lock of a run folder: one process at a time, whatever the last one left behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from omnithinker.errors import Interrupted
from omnithinker.io.lock import lock, lock_holder

HOLD = """
import sys
from pathlib import Path
from omnithinker.io.lock import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_of_another_process_ends_with_it(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        assert lock_holder(tmp_path) == {"host": socket.gethostname(), "pid": process.pid}
        with pytest.raises(Interrupted, match=f"{tmp_path}: in use by process {process.pid} on "), lock(tmp_path):
            pass
        process.kill()
    assert (tmp_path / "running.json").exists()
    assert lock_holder(tmp_path) is None
    with lock(tmp_path):
        assert lock_holder(tmp_path) == {"host": socket.gethostname(), "pid": os.getpid()}
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_file_leaves_the_others_of_its_folder(tmp_path):
    with lock(tmp_path, "a.json"):
        with pytest.raises(Interrupted, match=f"^{tmp_path}/a.json: in use by process"), lock(tmp_path, "a.json"):
            pass
        with lock(tmp_path, "b.json"), lock(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_second_attempt_does_not_release_it(tmp_path):
    with lock(tmp_path):
        with pytest.raises(Interrupted), lock(tmp_path):
            pass
        assert lock_holder(tmp_path) is not None
    assert lock_holder(tmp_path) is None


@pytest.mark.parametrize("left", ["", "{", "[]", "1", json.dumps({"host": socket.gethostname(), "pid": os.getppid()})])
def test_what_a_process_left_behind_is_no_lock(left, tmp_path):
    # The number of an ended process may be that of a living one, as in a container that starts anew.
    (tmp_path / "running.json").write_text(left)
    assert lock_holder(tmp_path) is None
    with lock(tmp_path):
        pass


def test_of_many_at_once_one_holds_it(tmp_path):
    inside, most = 0, 0
    counting = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(100):
            try:
                with lock(tmp_path):
                    with counting:
                        inside += 1
                        most = max(most, inside)
                    with counting:
                        inside -= 1
            except Interrupted:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
