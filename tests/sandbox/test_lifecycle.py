"""Start, shutdown, death of processes, load, and large owner processes."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from omnithinker.errors import SandboxError, SandboxUnavailable
from omnithinker.sandbox import SandboxSettings, Status, fork_server, open_sandbox, parse_tests
from omnithinker.sandbox.slot import Slot

ADD = parse_tests({"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]})
RIGHT = "def add(a, b):\n    return a + b"


class LackingSlot(Slot):
    """Fork server that reports a missing layer, as on an old kernel."""

    def _start(self) -> None:
        super()._start()
        self.problems = ("landlock",)


def test_missing_layer_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(fork_server, "Slot", LackingSlot)
    with pytest.raises(SandboxUnavailable, match=r"lacks landlock.*sandbox.level = 'weak'") as caught:
        open_sandbox(SandboxSettings(slots=1))
    assert "\n" not in str(caught.value)
    with open_sandbox(SandboxSettings(slots=1, level="weak")) as sandbox:
        assert sandbox.level == "weak"
        assert sandbox.run(RIGHT, ADD).status is Status.PASSED


def test_lower_limits_of_the_owner_are_kept():
    script = (
        "import resource\nfrom omnithinker.sandbox import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (50, 50))\n"
        "code = 'import resource\\ndef f(): return resource.getrlimit(resource.RLIMIT_FSIZE)[1]'\n"
        "tests = parse_tests({'fn_name': 'f', 'inputs': [[]], 'outputs': [1 << 20]})\n"
        "with open_sandbox(SandboxSettings(slots=1, cpu_seconds=90)) as s: print(s.run(code, tests).status)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "passed"


def test_preload_makes_a_package_importable():
    code = "import numpy\ndef add(a, b):\n    return numpy.int64(a) + b"
    with open_sandbox(SandboxSettings(slots=1, preload=("numpy",), memory_mb=1024)) as sandbox:
        assert sandbox.run(code, ADD).status is Status.PASSED
        with_package = sandbox.layers
    with open_sandbox(SandboxSettings(slots=1)) as sandbox:
        assert sandbox.layers == with_package
        result = sandbox.run(code, ADD)
        assert (result.status, result.detail) == (
            Status.RUNTIME_ERROR,
            "ModuleNotFoundError: No module named 'numpy'",
        )


def test_unknown_preload_is_reported():
    with pytest.raises(SandboxError, match="No module named 'no_such_package'"):
        open_sandbox(SandboxSettings(slots=1, preload=("no_such_package",)))


OWNER = """
import os, signal, sys, threading
from omnithinker.sandbox import SandboxSettings, open_sandbox, parse_tests
tests = parse_tests({"fn_name": "f", "inputs": [[]], "outputs": [1]})
sandbox = open_sandbox(SandboxSettings(slots=1, cpu_seconds=60))
threading.Thread(target=sandbox.run, args=("import time\\ntime.sleep(900)", tests), daemon=True).start()
server = sandbox.processes[0]
while not (children := open(f"/proc/{server}/task/{server}/children").read().split()): pass
print(server, *children, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_all_processes_die_with_their_owner():
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    processes = [int(word) for word in owner.stdout.readline().split()]
    assert len(processes) == 2
    handles = [os.pidfd_open(process) for process in processes]
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    for handle in handles:
        poll = select.poll()
        poll.register(handle, 1)
        assert poll.poll(60_000), "still alive a minute after its owner died"
        os.close(handle)


def test_sandbox_outlives_the_thread_that_opened_it():
    with ThreadPoolExecutor(1) as thread:
        sandbox = thread.submit(open_sandbox, SandboxSettings(slots=1)).result()
    with sandbox:
        assert sandbox.run(RIGHT, ADD).retries == 0


def _sizes(process: int) -> tuple[int, int]:
    """Return the size of a process's address space and page tables, KiB; a fork copies the page tables."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return tuple(int(fields[name].split()[0]) for name in ("VmSize", "VmPTE"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_programs_do_not_inherit_the_owners_memory():
    with mmap.mmap(-1, 3 << 30) as ballast:
        # Write to pages so that they exist; a tenth of them keeps the test fast.
        for offset in range(0, 300 << 20, mmap.PAGESIZE):
            ballast[offset] = 1
        assert _sizes(os.getpid())[0] > 3 << 20
        with open_sandbox(SandboxSettings(slots=1)) as sandbox:
            address_space, page_tables = _sizes(sandbox.processes[0])
            result = sandbox.run(RIGHT, ADD)
    assert result.status is Status.PASSED
    assert result.peak_rss_mb < 100
    assert address_space < 100 << 10
    assert page_tables < 300


OPEN = """
import os
def f():
    found = []
    for number in range(5, 2048):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(number)
    return found
"""


def test_programs_inherit_no_descriptors():
    tests = parse_tests({"fn_name": "f", "inputs": [[]], "outputs": [[]]})
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(open(os.devnull))
        with open_sandbox(SandboxSettings(slots=1)) as sandbox:
            result = sandbox.run(OPEN, tests)
    assert (result.status, result.tests[0].got) == (Status.PASSED, "[]")


def test_no_false_verdicts_under_load():
    with open_sandbox(SandboxSettings(slots=8)) as sandbox, ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda _: sandbox.run(RIGHT, ADD), range(2000)))
    assert {result.status for result in results} == {Status.PASSED}
    assert sum(result.retries for result in results) == 0


def test_sandbox_works_after_an_interrupted_run():
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with open_sandbox(SandboxSettings(slots=1, cpu_seconds=60)) as sandbox:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(KeyboardInterrupt):
                sandbox.run("import time\ntime.sleep(900)", ADD)
            assert sandbox.run(RIGHT, ADD).status is Status.PASSED
    finally:
        signal.signal(signal.SIGALRM, before)


def test_use_in_a_forked_process_is_refused():
    with open_sandbox(SandboxSettings(slots=1)) as sandbox:
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                sandbox.run(RIGHT, ADD)
            except SandboxError as error:
                os.write(writer, str(error).encode())
            os._exit(0)
        os.close(writer)
        with open(reader) as pipe:
            assert "another process" in pipe.read()
        os.wait()
