"""Tests that need packages or files that a sandbox lacks are invalid, with the reason."""

from __future__ import annotations

import pytest

from omnithinker.sandbox import AssertTests, SandboxSettings, UnittestTests, refusal
from omnithinker.sandbox.requirements import explain_failure


def reason(source, **settings):
    given = SandboxSettings(in_process_tests=True, **settings)
    asserts = refusal(AssertTests((f"{source}\nassert f(1)",)), given)
    assert refusal(UnittestTests(source, ("A.test",)), given) == asserts
    return asserts


def test_packages():
    todo = "test 0 imports 'absent_package': install the package 'absent_package' if need be, and add it to "
    assert reason("from absent_package.part import x") == f"{todo}sandbox.preload"
    assert reason("import absent_package", preload=("pytest",)) == f"{todo}sandbox.preload"
    assert reason("import pytest", preload=("numpy",)) is None
    assert reason("import absent_package", preload=("absent_package",)) is None
    assert reason("import absent_package", preload=("numpy",), backend="container", target="image") is None
    assert reason("try:\n    import absent_package\nexcept ImportError:\n    pass") is None
    assert reason("import json, os.path\nfrom collections import abc") is None
    assert "'pytest'" in (reason("import pytest") or "")


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("open('x', 'w')", "open"),
        ("open('x', mode='ab')", "open"),
        ("tempfile.mkdtemp()", "tempfile.mkdtemp"),
        ("NamedTemporaryFile()", "NamedTemporaryFile"),
        ("os.makedirs('x')", "os.makedirs"),
        ("shutil.rmtree('x')", "shutil.rmtree"),
        ("Path.cwd.mkdir()", "Path.cwd.mkdir"),
    ],
)
def test_files(call, name):
    assert reason(f"x = 1\n{call}") == f"test 0, line 2, calls {name!r}: a sandbox has no writable files"


@pytest.mark.parametrize(
    "source", ["open('x')", "open('x', 'rb')", "fs.mkdir('x')", "os.path.exists('x')", "mock_open(read_data='w')"]
)
def test_other_calls_are_valid(source):
    assert reason(source) is None


@pytest.mark.parametrize(
    ("detail", "explanation"),
    [
        ("ModuleNotFoundError: No module named 'sortedcontainers'", "sortedcontainers"),
        ("test 0: ModuleNotFoundError: No module named 'yaml.nodes'; 'yaml' is not a package", "yaml"),
        ("T.t: PermissionError: [Errno 1] Operation not permitted: './x'", "no writable files"),
        ("FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp']", "no writable files"),
        ("gaierror: [Errno -3]", "no network"),
        ("ModuleNotFoundError: No module named 'tkinter'", ""),
        ("AssertionError: 1 != 2", ""),
    ],
)
def test_explanations(detail, explanation):
    found = explain_failure(detail)
    assert explanation in found
    assert bool(found) is bool(explanation)
