"""Reports from hostile processes: parsing never raises, and only the expected values pass."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnithinker.sandbox import AssertTests, Call, CallTests, Status, UnittestTests
from omnithinker.sandbox.inside import template
from omnithinker.sandbox.inside.codec import decode
from omnithinker.sandbox.slot import ProcessResult
from omnithinker.sandbox.verdict import judge_asserts, judge_calls, judge_output, judge_unittests

CALLS = CallTests("f", (Call((1,), 12345), Call((2,), [{1, 2}, {"a": 7.5}])))
UNITTESTS = UnittestTests("", ("A.test_a", "A.test_b"))
RIGHT = b"""{"i":0,"value":12345,"wall":0.1}
{"i":1,"value":[{"s":[2,1]},{"d":[["a",7.5]]}],"wall":0.1}
{"stage":"done"}
"""


def ended(report: bytes, stdout: bytes = b"") -> ProcessResult:
    return ProcessResult(0, None, template.NOT_KILLED, 0.1, 0.1, 10.0, report, stdout, b"")


ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**4000, "done", "load", "compile", "gone", 12346, "MemoryError: x", "\ud800"])
    | st.text(max_size=4)
)
KEYS = st.sampled_from(
    ["i", "value", "wall", "error", "stage", "calls", "invalid", "canary_failed", "t", "s", "d", "o"]
)
VALUES = st.recursive(ATOMS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
LINES = st.dictionaries(KEYS, VALUES, max_size=4) | VALUES
REPORTS = st.lists(LINES, max_size=4).map(lambda lines: b"\n".join(json.dumps(line).encode() for line in lines))


def test_correct_report_passes():
    assert judge_calls(ended(RIGHT), CALLS).status is Status.PASSED


@given(REPORTS | st.binary(max_size=60))
def test_other_reports_neither_pass_nor_raise(report):
    assert judge_calls(ended(report), CALLS).status is not Status.PASSED
    assert judge_output(ended(report, b"1"), 0, "2").status is not Status.PASSED


@given(REPORTS | st.binary(max_size=60))
def test_assert_and_unittest_reports_do_not_raise(report):
    for verdict in (
        judge_asserts(ended(report), ended(b""), len(AssertTests(("a", "b")))),
        judge_unittests(ended(report), UNITTESTS),
    ):
        assert verdict.status in set(Status)


@pytest.mark.parametrize("cut", range(2, len(RIGHT.splitlines()[0]) + 40, 7))
def test_truncated_report_does_not_pass(cut):
    assert judge_calls(ended(RIGHT[:-cut]), CALLS).status is not Status.PASSED


@pytest.mark.parametrize("line", range(3))
def test_report_with_missing_or_repeated_line_does_not_pass(line):
    lines = RIGHT.splitlines()
    missing = b"\n".join(lines[:line] + lines[line + 1 :])
    repeated = b"\n".join(lines[: line + 1] + lines[line:])
    assert judge_calls(ended(missing), CALLS).status is not Status.PASSED
    if line < 2:
        assert judge_calls(ended(repeated), CALLS).status is Status.TAMPERED


def test_colliding_keys_are_not_hashed():
    colliding = [number * (2**61 - 1) for number in range(3)]
    with pytest.raises(ValueError, match="larger than any expected"):
        decode({"s": colliding}, largest=2)
    lines = [{"i": 0, "value": {"s": list(range(100))}, "wall": 0.1}, {"i": 1, "value": 1, "wall": 0.1}]
    report = b"\n".join(json.dumps(line).encode() for line in [*lines, {"stage": "done"}])
    verdict = judge_calls(ended(report), CALLS)
    assert verdict.status is Status.FAILED
    assert "larger than any expected" in verdict.detail


def test_report_without_final_line_does_not_pass():
    unfinished = b"\n".join(RIGHT.splitlines()[:2])
    assert judge_calls(ended(unfinished), CALLS).status is Status.EARLY_EXIT
