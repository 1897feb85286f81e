"""Hostile programs: none passes, leaks a secret, outlives its run, leaves a file, or exceeds its limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from omnithinker.sandbox import Status, open_sandbox, parse_tests
from tests.builders import ROOT, hostile

TESTS = {"call": hostile.CALLS, "judge": hostile.ASSERTS, "stdio": hostile.STDIO}


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("secret") / "token"
    path.write_text(hostile.SECRET)
    return str(path)


@pytest.fixture(scope="module")
def sandbox():
    os.environ["PLANTED"] = hostile.SECRET
    with open_sandbox(hostile.settings()) as opened:
        yield opened
    del os.environ["PLANTED"]


def test_suite_size_and_control_programs(sandbox):
    assert len(hostile.PROGRAMS) >= 40
    right = {"stdio": "print(sum(map(int, input().split())))"}
    for mode, tests in TESTS.items():
        code = right.get(mode, "def add(a, b):\n    return a + b")
        assert sandbox.run(code, parse_tests(tests)).status is Status.PASSED


@pytest.mark.parametrize("mode", TESTS)
@pytest.mark.parametrize("name", hostile.PROGRAMS)
def test_hostile_program_is_contained(sandbox, secret_file, name, mode):
    assert hostile.problems(sandbox, sandbox.processes, name, parse_tests(TESTS[mode]), secret_file) == []


def _interpreter_for_everyone() -> str | None:
    """Return an interpreter of this version that an unprivileged user can start, or None."""
    for path in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        real = Path(path).resolve()
        if real.exists() and all(folder.stat().st_mode & 1 for folder in (real, *real.parents)):
            return path
    return None


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="already unprivileged")
@pytest.mark.skipif(_interpreter_for_everyone() is None, reason="no interpreter that other users can start")
def test_the_suite_as_an_unprivileged_user(secret_file):
    packages = [path for path in sys.path if path.endswith("-packages")]
    done = subprocess.run(
        [str(_interpreter_for_everyone()), "-m", "tests.builders.hostile", secret_file],
        env={"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src"), *packages]), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == {"uid": 65534, "programs": len(hostile.PROGRAMS), "problems": []}
