"""Parsing of tests, comparison of values and output, and the codec."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnithinker.errors import DataError
from omnithinker.sandbox import AssertTests, Call, CallTests, StdioTests, parse_tests
from omnithinker.sandbox.compare import same_output, same_value
from omnithinker.sandbox.inside.codec import Encoder, Unencodable, decode, encode

TACO = """_inputs = [[1, 2], [3, 4]]
_outputs = [[3], [7]]
def _deep_eq(a, b, tol=1e-5):
    return a == b
for i, o in zip(_inputs, _outputs):
    assert _deep_eq(Solution().add(*i), o[0])
"""
LEETCODE = "def check(candidate):\n    assert candidate(nums=[2, 7], target=9) == [0, 1]\n\ncheck(Solution().twoSum)"


@pytest.mark.parametrize(
    ("field", "tests"),
    [
        ({"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}, CallTests("add", (Call((1, 2), 3),))),
        ({"fn_name": "add", "inputs": [{"a": 1}], "outputs": [3]}, CallTests("add", (Call((), 3, {"a": 1}),))),
        ({"fn_name": "f", "inputs": ["[1]\n2"], "outputs": ["[3]"]}, CallTests("f", (Call(([1], 2), [3]),))),
        (
            {"fn_name": "f", "inputs": [[1]], "outputs": [3], "tolerance": 0.1},
            CallTests("f", (Call((1,), 3),), 0.1),
        ),
        ({"inputs": ["1\n"], "outputs": ["2"]}, StdioTests(("1\n",), ("2",))),
        ([{"input": "1", "output": "2"}], StdioTests(("1",), ("2",))),
        ({"functional": TACO}, CallTests("Solution.add", (Call((1, 2), 3), Call((3, 4), 7)), 1e-5)),
        (
            {"functional": LEETCODE},
            CallTests("Solution.twoSum", (Call((), [0, 1], {"nums": [2, 7], "target": 9}),)),
        ),
        (["assert f(1) == (2, {3})", "assert f(2) == -1"], CallTests("f", (Call((1,), (2, {3})), Call((2,), -1)))),
        (["assert f(1) > 2"], AssertTests(("assert f(1) > 2",))),
        (["assert f(1) == 2", "assert g(1) == 2"], AssertTests(("assert f(1) == 2", "assert g(1) == 2"))),
    ],
)
def test_formats(field, tests):
    assert parse_tests(field) == tests
    assert parse_tests(json.dumps(field)) == tests


def test_other_source_is_not_converted_to_calls():
    source = "def check(candidate):\n    x = [1]\n    candidate(x)\n    assert x == []\ncheck(f)"
    assert parse_tests({"functional": source}) == AssertTests((source,))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (None, "object or a list"),
        ("{", "not valid JSON"),
        ({}, "need a list 'inputs'"),
        ([], "at least one test"),
        ({"inputs": [], "outputs": []}, "at least one test"),
        ({"inputs": ["1"], "outputs": []}, "1 inputs but 0 outputs"),
        ({"inputs": [1], "outputs": ["1"]}, r"tests.inputs\[0\] must be text"),
        ({"fn_name": "a b", "inputs": [[1]], "outputs": [1]}, "not the name of a function"),
        ({"fn_name": "f", "inputs": [1], "outputs": [1]}, r"inputs\[0\] must be a list"),
        ({"fn_name": "f", "inputs": ["x"], "outputs": ["1"]}, r"inputs\[0\]: 'x' is not valid JSON"),
        ({"fn_name": "f", "inputs": [[1]], "outputs": [1], "tolerance": -1}, "tolerance"),
        ({"functional": "def f(:"}, "does not parse"),
        ({"functional": "x = 1"}, "asserts nothing"),
        (["x = 1"], "asserts nothing"),
        ([1], "list of tests must contain"),
    ],
)
def test_error_messages_of_malformed_tests(field, message):
    with pytest.raises(DataError, match=message):
        parse_tests(field)


@pytest.mark.parametrize(
    ("got", "expected", "same"),
    [
        (3, 3, True),
        (3.0, 3, True),
        (3.0 + 1e-12, 3, False),
        (Fraction(3), 3, True),
        (Fraction(1, 3), 1 / 3, True),
        (Fraction(1, 3), 0, False),
        (Fraction(10**999, 3), 0.5, False),
        (Decimal("0.1"), 0.1, True),
        (Decimal("3.00"), 3, True),
        (Decimal("1e999"), 1.0, False),
        ([Decimal(2)], [2], True),
        (3, 3.0 + 1e-12, True),
        (float(1234567**2) + 500, 1234567**2, False),
        ([1.0000000001], [1], False),
        ({"a": 1e15 + 0.25}, {"a": 10**15}, False),
        (0.1 + 0.2, 0.3, True),
        (0.3001, 0.3, False),
        (math.nan, math.nan, True),
        (math.nan, 3, False),
        (math.inf, 1e308, False),
        (10**400, 1.0, False),
        ("3", 3, False),
        (None, 0, False),
        ((1, 2), [1, 2], True),
        ([1, 2], [1, 2, 3], False),
        ([[0.1 + 0.2]], [[0.3]], True),
        ({1: 2.0}, {"1": 2}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({True: 1}, {"true": 1}, True),
        ({1, 2}, {2, 1}, True),
        ("12", [1, 2], False),
    ],
)
def test_same_value(got, expected, same):
    assert same_value(got, expected) is same


@pytest.mark.parametrize(
    ("got", "expected", "same"),
    [
        ("1 2\n", "1 2", True),
        (" 1 \n 2 ", "1\n2", True),
        ("1.0 2", "1 2.00", True),
        ("1\n\n2", "1\n2", False),
        ("1", "1\n2", False),
        ("", "1", False),
        ("1  2", "1 2", True),
        ("a  b", "a b", False),
        ("nan", "1", False),
        ("1e999999", "2", False),
        ("1_0", "10", False),
        ("\u0661_0", "10", False),
        ("\u0661\u0660", "10", False),
        ("\uff11\uff10 5", "10 5", False),
        ("10", "1_0", False),
        ("+10. 5e0", "10 5.0", True),
        (".5", "0.50", True),
        ("1e9999999999999999999", "1e9999999999999999998", False),
    ],
)
def test_same_output(got, expected, same):
    assert same_output(got, expected) is same


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.frozensets(st.integers())
        | st.sets(st.text())
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_data_round_trips(value):
    back = decode(json.loads(json.dumps(encode(value))))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("value", [Fraction(-22, 7), Decimal("-0.10"), Decimal("1e999")])
def test_exact_numbers_round_trip(value):
    back = decode(json.loads(json.dumps(encode([value]))))
    assert back == [value]
    assert type(back[0]) is type(value)


@pytest.mark.parametrize(
    "data",
    [
        {"q": ["0x1", "0x0"]},
        {"q": ["0x" + "f" * 4000, "0x3"]},
        {"q": [1, 2]},
        {"q": ["0x1"] * 3},
        {"m": "sNaN"},
        {"m": "NaN"},
        {"m": "Infinity"},
        {"m": "1e999999"},
        {"m": "1e99999999999999999999"},
        {"m": "9" * 4000},
        {"m": "x"},
        {"m": 3},
    ],
)
def test_exact_numbers_that_are_costly_or_do_not_compare_are_refused(data):
    with pytest.raises(ValueError, match=r"malformed|digits|out of range|invalid literal"):
        decode(data)


def test_large_integers_round_trip():
    assert decode(json.loads(json.dumps(encode([10**9000, -(10**9000)])))) == [10**9000, -(10**9000)]


def test_subclasses_are_flattened():
    class Sly(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    assert type(decode(encode(Sly(3)))) is int


def test_objects_round_trip_by_attributes_with_cycles():
    class Node:
        def __init__(self):
            self.next = None

    first, second = Node(), Node()
    first.next, second.next = second, first
    back = decode(Encoder(lambda thing: isinstance(thing, Node)).encode([first]), {"Node": Node})[0]
    assert type(back) is Node
    assert back.next.next is back
    assert back.next is not back


def test_other_data_is_refused_by_encoder_and_decoder():
    with pytest.raises(Unencodable, match="function"):
        encode(len.__class__ and test_large_integers_round_trip)
    for data in ({"o": 0}, {"x": 1}, {"t": 3}, {"a": 1, "b": 2}, {"s": [[1]]}, {"v": 1, "objects": [["os", {}]]}):
        with pytest.raises(ValueError, match=r"plain data|malformed"):
            decode(data)
