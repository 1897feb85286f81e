"""Other backends: a peer behind a command, a container, bubblewrap, and a SandboxFusion service.

Scripts replace Docker and bubblewrap: they record their options and run the command. A local server implements the
SandboxFusion protocol. If bubblewrap is installed, it is tested too.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from pydantic import ValidationError

from omnithinker.errors import SandboxUnavailable
from omnithinker.sandbox import SandboxSettings, Status, Trust, open_sandbox, parse_tests, wire
from tests.builders import hostile

SERVE = shlex.join([sys.executable, "-m", "omnithinker.sandbox.serve"])
RIGHT = "def add(a, b):\n    return a + b"
WRONG = "def add(a, b):\n    return a - b"
CALLS, ASSERTS, STDIO = (parse_tests(tests) for tests in (hostile.CALLS, hostile.ASSERTS, hostile.STDIO))
PROGRAM = "print(sum(map(int, input().split())))"


def _check(sandbox, *, judge=True):
    assert sandbox.run(RIGHT, CALLS).status is Status.PASSED
    assert sandbox.run(WRONG, CALLS).status is Status.FAILED
    assert sandbox.run(PROGRAM, STDIO).passed == 2
    assert sandbox.run("print(3)", STDIO).passed == 1
    assert sandbox.run("def add(a, b", CALLS).status is Status.COMPILE_ERROR
    assert sandbox.run("raise KeyError(1)", STDIO).status is Status.RUNTIME_ERROR
    if judge:
        result = sandbox.run(RIGHT, ASSERTS)
        assert (result.status, result.trust) == (Status.PASSED, Trust.JUDGE)
        assert sandbox.run(WRONG, ASSERTS).status is Status.FAILED


@pytest.mark.parametrize("tests", [CALLS, ASSERTS, STDIO, parse_tests(["assert f({1}, (2,)) == {3: b'4'}"])])
def test_tests_round_trip_through_json(tests):
    assert wire.tests_from_json(json.loads(json.dumps(wire.tests_to_json(tests)))) == tests


def test_target_is_required_or_refused_by_backend():
    with pytest.raises(ValidationError, match="needs a 'target'"):
        SandboxSettings(backend="container")
    with pytest.raises(ValidationError, match="takes no 'target'"):
        SandboxSettings(target="x")


@pytest.fixture(scope="module")
def planted():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def peer(planted):
    planted.setenv("PLANTED", hostile.SECRET)
    settings = hostile.settings().model_copy(update={"backend": "command", "target": SERVE})
    with open_sandbox(settings) as sandbox:
        yield sandbox


def test_command_backend(peer):
    assert (peer.level, peer.slots) == ("strong", 1)
    assert "seccomp" in peer.layers
    _check(peer)
    assert peer.run(RIGHT, parse_tests(["assert f(...) == 1"])).status is Status.INVALID_TASK
    result = peer.run(RIGHT, CALLS)
    assert result.backend == "command"
    assert wire.result_from_json(json.loads(json.dumps(wire.result_to_json(result)))) == result


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.PROGRAMS)
def test_command_backend_contains_hostile_programs(peer, tmp_path, name):
    secret = tmp_path / "token"
    secret.write_text(hostile.SECRET)
    servers = hostile.children_of([peer._peer._process.pid])
    assert hostile.problems(peer, servers, name, CALLS, str(secret)) == []


def test_a_dead_peer_is_replaced():
    with open_sandbox(SandboxSettings(slots=1, backend="command", target=SERVE)) as sandbox:
        sandbox._peer._process.kill()
        assert sandbox.run(RIGHT, CALLS).status is Status.PASSED


def test_a_peer_with_closed_pipes_is_replaced_while_its_process_lives(tmp_path):
    marker = tmp_path / "started"
    lingering = f"""
import os, sys, time
if os.path.exists({str(marker)!r}):
    os.execv(sys.executable, [sys.executable, "-m", "omnithinker.sandbox.serve"])
open({str(marker)!r}, "w").close()
sys.stdin.readline()
print('{{"level": "strong", "layers": [], "slots": 1}}', flush=True)
os.close(0)
os.close(1)
time.sleep(600)
"""
    target = shlex.join([sys.executable, "-c", lingering])
    with open_sandbox(SandboxSettings(slots=1, backend="command", target=target)) as sandbox:
        assert sandbox.run(RIGHT, CALLS).status is Status.PASSED


def test_a_request_written_to_a_dying_peer_is_repeated(monkeypatch):
    with open_sandbox(SandboxSettings(slots=1, backend="command", target=SERVE)) as sandbox:
        first = sandbox._peer
        monkeypatch.setattr(first, "_write", lambda line: first.close())
        assert sandbox.run(RIGHT, CALLS).status is Status.PASSED
        assert sandbox._peer is not first


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/no/such/program", "cannot start '/no/such/program'"),
        ("false", "did not answer"),
        ('echo \'{"error": "lacks landlock"}\'', "echo reports: lacks landlock"),
    ],
)
def test_peer_that_cannot_serve_is_reported(target, message):
    with pytest.raises(SandboxUnavailable, match=message):
        open_sandbox(SandboxSettings(backend="command", target=target))


def _script(folder, name, text):
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)


def test_container_options(tmp_path, monkeypatch):
    record = tmp_path / "arguments"
    _script(
        tmp_path,
        "docker",
        f"import os, sys\nopen({str(record)!r}, 'w').write(' '.join(sys.argv[1:]))\n"
        "rest = sys.argv[sys.argv.index('some/image') + 2:]\n"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, *rest])",
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with open_sandbox(SandboxSettings(slots=2, backend="container", target="some/image")) as sandbox:
        _check(sandbox)
        assert sandbox.layers[0] == "container"
    arguments = record.read_text()
    for option in ("--network none", "--cap-drop ALL", "--read-only", "--user 65534:65534", "--pids-limit 192"):
        assert option in arguments


def test_bubblewrap_starts_with_an_empty_environment(tmp_path, monkeypatch):
    record = tmp_path / "record"
    _script(
        tmp_path,
        "bwrap",
        f"import json, os, sys\nopen({str(record)!r}, 'w').write(json.dumps([sys.argv, dict(os.environ)]))\n"
        "rest = sys.argv[sys.argv.index('--') + 1:]\nos.execv(rest[0], rest)",
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PLANTED", hostile.SECRET)
    with open_sandbox(SandboxSettings(slots=1, backend="bubblewrap")) as sandbox:
        _check(sandbox)
        assert sandbox.layers[0] == "bubblewrap"
    arguments, environment = json.loads(record.read_text())
    assert "--unshare-all" in arguments
    assert "PLANTED" not in environment


needs_bubblewrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@pytest.fixture(scope="module")
def jailed(planted):
    planted.setenv("PLANTED", hostile.SECRET)
    with open_sandbox(hostile.settings().model_copy(update={"backend": "bubblewrap"})) as sandbox:
        sandbox.run(RIGHT, ASSERTS)  # starts the judges' fork server
        yield sandbox


@needs_bubblewrap
def test_real_bubblewrap(jailed):
    assert jailed.level == "strong"
    assert jailed.layers[0] == "bubblewrap"
    _check(jailed)


@needs_bubblewrap
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["call", "judge"])
@pytest.mark.parametrize("name", hostile.PROGRAMS)
def test_real_bubblewrap_contains_hostile_programs(jailed, tmp_path, name, mode):
    secret = tmp_path / "token"
    secret.write_text(hostile.SECRET)
    # Bubblewrap starts an init process, which starts the fork server.
    init = hostile.children_of(jailed.processes)
    servers = hostile.children_of(init)
    assert len(init) == len(servers) == 2
    tests = {"call": CALLS, "judge": ASSERTS}[mode]
    assert hostile.problems(jailed, servers, name, tests, str(secret)) == []
    assert sorted(hostile.children_of([*jailed.processes, *init])) == sorted([*init, *servers])


def test_missing_bubblewrap_is_reported(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxUnavailable, match="install bubblewrap"):
        open_sandbox(SandboxSettings(backend="bubblewrap"))


class Service(BaseHTTPRequestHandler):
    """``/run_code`` of the SandboxFusion protocol, with a plain interpreter."""

    broken: ClassVar[list[int]] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/run_code" or body["language"] != "python" or (self.broken and self.broken.pop()):
            self.send_error(500)
            return
        status, code, out, err = "Finished", 0, "", ""
        try:
            done = subprocess.run(
                [sys.executable, "-c", body["code"]],
                input=body["stdin"],
                capture_output=True,
                text=True,
                timeout=body["run_timeout"],
            )
            code, out, err = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired:
            status, code = "TimeLimitExceeded", None
        run = {"status": status, "execution_time": 0.1, "return_code": code, "stdout": out, "stderr": err}
        answer = {
            "status": "Success" if code == 0 else "Failed",
            "message": "",
            "compile_result": None,
            "run_result": run,
        }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def service():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _fusion(url):
    return SandboxSettings(level="weak", slots=2, cpu_seconds=0.5, backend="sandbox_fusion", target=url)


def test_sandbox_fusion(service):
    with open_sandbox(_fusion(service)) as sandbox:
        _check(sandbox, judge=False)
        assert sandbox.run(RIGHT, ASSERTS).status is Status.INVALID_TASK
        assert sandbox.run(RIGHT, parse_tests(["assert f(...) == 1"])).status is Status.INVALID_TASK
        assert sandbox.run("while True: pass", STDIO, stop_early=True).status is Status.TIMEOUT
        assert sandbox.run("import os\nos._exit(0)", CALLS).status is Status.EARLY_EXIT
        assert sandbox.run("import ctypes\nctypes.string_at(0)", CALLS).status is Status.CRASHED
        assert sandbox.level == "weak"


@pytest.mark.parametrize(
    "name",
    ["equal to everything", "int equal to everything", "frames walked", "says passed", "exit hard in function"],
)
def test_sandbox_fusion_cannot_be_forged(service, name):
    with open_sandbox(_fusion(service)) as sandbox:
        result = sandbox.run(hostile.PROGRAMS[name], CALLS)
    assert result.status is not Status.PASSED
    assert result.passed == 0


def test_sandbox_fusion_failures_are_sandbox_errors(service):
    with open_sandbox(_fusion(service)) as sandbox:
        Service.broken[:] = [1]
        result = sandbox.run(RIGHT, CALLS)
        assert (result.status, result.retries) == (Status.PASSED, 1)
        Service.broken[:] = [1, 1]
        result = sandbox.run(RIGHT, CALLS)
        assert result.status is Status.SANDBOX_ERROR
        assert "500" in result.detail


def test_sandbox_fusion_refuses_level_strong():
    with pytest.raises(SandboxUnavailable, match="cannot be verified"):
        open_sandbox(SandboxSettings(backend="sandbox_fusion", target="http://localhost:1"))
