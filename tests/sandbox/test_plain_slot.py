"""The portable slot, as used on macOS, run with Linux facilities disabled in both processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from omnithinker.config.sandbox import SandboxSettings
from omnithinker.errors import SandboxError, SandboxUnavailable
from omnithinker.sandbox import Status, base, fork_server, open_sandbox, parse_tests, plain_slot, slot

ADD = {"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]}
DOUBLE = {"inputs": ["4\n", "5\n"], "outputs": ["8\n", "10\n"]}
RIGHT = "def add(a, b): return a + b"

WITHOUT_LINUX = """
import os, resource, select, socket, sys, time
gone = {
    os: "memfd_create pidfd_open sched_getaffinity sched_setaffinity eventfd pipe2 waitid O_PATH O_TMPFILE unshare "
        "posix_fadvise splice copy_file_range getrandom",
    select: "epoll",
    socket: "SOCK_SEQPACKET SOCK_CLOEXEC SOCK_NONBLOCK",
    resource: "prlimit",
    time: "pthread_getcpuclockid",
}
for module, names in gone.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
setrlimit = resource.setrlimit
def refuse_address_space(kind, value):
    if kind == resource.RLIMIT_AS:
        raise ValueError("current limit exceeds maximum limit")
    setrlimit(kind, value)
resource.setrlimit = refuse_address_space
def refuse(event, arguments):
    if event == "open" and str(arguments[0]).startswith("/proc"):
        raise FileNotFoundError(arguments[0])
    if event == "ctypes.dlsym" and arguments[1] in ("syscall", "prctl", "unshare", "capset"):
        raise RuntimeError(f"{arguments[1]} is Linux's")
sys.addaudithook(refuse)
"""


INSIDE = f"{WITHOUT_LINUX}\nsys.platform = 'darwin'\n{plain_slot.BOOTSTRAP}"


@pytest.fixture
def sandbox(monkeypatch):
    monkeypatch.setattr(fork_server, "PLATFORM", "darwin")
    monkeypatch.setattr(plain_slot, "BOOTSTRAP", INSIDE)
    with open_sandbox(SandboxSettings(level="weak", slots=2, cpu_seconds=1)) as opened:
        yield opened


def test_level_and_layers(sandbox):
    assert sandbox.level == "weak"
    assert sandbox.layers == ("rlimits", "empty_environment")
    assert sandbox.processes == []


@pytest.mark.parametrize(
    ("settings", "lacking"),
    [
        ({}, "landlock, seccomp"),
        ({"level": "weak", "backend": "bubblewrap"}, "landlock, seccomp, bubblewrap"),
    ],
)
def test_linux_only_settings_are_refused_with_an_alternative(monkeypatch, settings, lacking):
    monkeypatch.setattr(fork_server, "PLATFORM", "darwin")
    with pytest.raises(SandboxUnavailable) as caught:
        open_sandbox(SandboxSettings(**settings))
    assert str(caught.value).startswith(f"the sandbox lacks {lacking} on darwin (Linux only); set ")
    assert "sandbox.level = 'weak'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "tests", "status"),
    [
        (RIGHT, ADD, Status.PASSED),
        ("def add(a, b): return a - b", ADD, Status.FAILED),
        ("def add(a, b): raise SystemExit(0)", ADD, Status.EARLY_EXIT),
        ("def add(a, b): return a +", ADD, Status.COMPILE_ERROR),
        ("class E(int):\n    def __eq__(self, o): return True\ndef add(a, b): return E(0)", ADD, Status.FAILED),
        ("print(int(input()) * 2)", DOUBLE, Status.PASSED),
        ("print(int(input()) * 3)", DOUBLE, Status.FAILED),
        ("def f(x): return x + 1", ["assert f(1) == 2", "assert f(2) == 3"], Status.PASSED),
        ("def f(x): return x", ["assert f(1) == 2"], Status.FAILED),
        ("def f(x):\n    while True: pass", ["assert f(1) == 2"], Status.CPU_LIMIT),
        ("def add(a, b):\n    while True: pass", ADD, Status.CPU_LIMIT),
        (
            "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
            ADD,
            Status.CPU_LIMIT,
        ),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGUSR2)", ADD, Status.CRASHED),
        ("while True: print('x' * 100000)", {"inputs": [""], "outputs": [""]}, Status.OUTPUT_LIMIT),
    ],
)
def test_verdicts(sandbox, monkeypatch, code, tests, status):
    monkeypatch.setattr(slot.Limits, "wall_seconds", 600.0)  # only CPU limits may apply, also on a busy machine
    result = sandbox.run(code, parse_tests(tests))
    assert (result.status, result.retries) == (status, 0)
    assert len(result.stdout) < 10_000


def test_source_tests_use_the_judge(sandbox):
    tests = parse_tests({"functional": "def check(g):\n    for x in range(3): assert g(x) == x + 1\ncheck(f)"})
    assert sandbox.run("def f(x): return x + 1", tests).status is Status.PASSED
    result = sandbox.run("def f(x): return x", tests)
    assert (result.status, result.trust) == (Status.FAILED, "judge")


def test_owner_uses_no_linux_facilities():
    script = WITHOUT_LINUX + textwrap.dedent(f"""
        from omnithinker.sandbox import SandboxSettings, fork_server, open_sandbox, parse_tests, plain_slot
        fork_server.PLATFORM, plain_slot.BOOTSTRAP = "darwin", {INSIDE!r}
        with open_sandbox(SandboxSettings(level="weak")) as sandbox:
            print(sandbox.level, sandbox.slots == os.cpu_count())
            for code, tests in [({RIGHT!r}, {ADD!r}), ("print(int(input()) * 2)", {DOUBLE!r})]:
                print(sandbox.run(code, parse_tests(tests)).status)
            source = {{"functional": "def check(g):\\n    for x in range(3): assert g(x) == x + 1\\ncheck(f)"}}
            print(sandbox.run("def f(x): return x + 1", parse_tests(source)).status)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["weak", "True", "passed", "passed", "passed"]


def test_usable_cores_without_cpu_affinity(monkeypatch):
    assert base.usable_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert base.usable_cores() == 7


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def sleeper(listener):
    """Return a program whose two processes each send a byte and sleep; the connection closes when both have ended."""
    return textwrap.dedent(f"""
        import os, socket, time
        line = socket.create_connection({listener.getsockname()!r})
        os.fork()
        line.send(b"x")
        time.sleep(900)
    """)


def accept(listener):
    line, _ = listener.accept()
    line.settimeout(60)
    assert line.recv(1) + line.recv(1) == b"xx"
    return line


def start(sandbox, code):
    results = []
    thread = threading.Thread(target=lambda: results.append(sandbox.run(code, parse_tests(ADD))), daemon=True)
    thread.start()
    return thread, results


def test_deadline_ends_a_program_and_its_children(sandbox, listener, monkeypatch):
    monkeypatch.setattr(slot.Limits, "wall_seconds", 600.0)
    thread, results = start(sandbox, sleeper(listener))
    with accept(listener) as line:
        [process] = [process for each in sandbox._slots for process in each._running]
        assert process._timer.interval == 600.0
        process._timer.function()  # expire the timer now
        assert line.recv(1) == b""
    thread.join()
    assert results[0].status is Status.TIMEOUT


def test_wall_limit_ends_a_sleeping_program(sandbox, monkeypatch):
    monkeypatch.setattr(slot.Limits, "wall_seconds", 3.0)
    result = sandbox.run("import time\ndef add(a, b): time.sleep(900)", parse_tests(ADD))
    # On a busy machine the interpreter may not even start within the limit, which is a sandbox error.
    assert result.status in (Status.TIMEOUT, Status.SANDBOX_ERROR)
    assert result.passed == 0


def test_closing_the_sandbox_ends_running_programs(sandbox, listener, monkeypatch):
    monkeypatch.setattr(slot.Limits, "wall_seconds", 600.0)
    thread, results = start(sandbox, sleeper(listener))
    with accept(listener) as line:
        sandbox.close()
        assert line.recv(1) == b""
    thread.join()
    assert (results[0].status, results[0].detail) == (Status.SANDBOX_ERROR, "the sandbox is closed")
    with pytest.raises(SandboxError, match="closed"):
        sandbox.run(RIGHT, parse_tests(ADD))


OWNER = """
import sys
from omnithinker.sandbox import SandboxSettings, fork_server, open_sandbox, parse_tests
fork_server.PLATFORM = "darwin"
sandbox = open_sandbox(SandboxSettings(level="weak", slots=1, cpu_seconds=300))
sandbox.run(sys.argv[1], parse_tests({"fn_name": "f", "inputs": [[]], "outputs": [1]}))
"""


def test_program_dies_with_its_owner(listener):
    owner = subprocess.Popen([sys.executable, "-c", OWNER, sleeper(listener)])
    with accept(listener) as line:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert line.recv(1) == b""


def test_unknown_preload_is_reported(monkeypatch):
    monkeypatch.setattr(fork_server, "PLATFORM", "darwin")
    with pytest.raises(SandboxError, match="did not start: ModuleNotFoundError: No module named 'no_such_package'"):
        open_sandbox(SandboxSettings(level="weak", slots=1, preload=("no_such_package",)))


def test_environment_is_empty(monkeypatch, sandbox):
    monkeypatch.setenv("A_SECRET", "hunter2")
    code = "import os\ndef f(): return sorted(os.environ)"
    assert sandbox.run(code, parse_tests({"fn_name": "f", "inputs": [[]], "outputs": [[]]})).status is Status.PASSED
    assert os.environ["A_SECRET"] == "hunter2"
