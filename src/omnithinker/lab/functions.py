"""Code items: one-line Python functions, each tested by five calls."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from omnithinker.lab.items import Item, ItemSampler, Solution

FUNCTION_NAMES = ("f", "g", "h", "calc", "run", "step", "make", "work")
NUMBER_NAMES = ("x", "n", "a", "k")
LIST_NAMES = ("s", "v", "row", "data")
TESTS = 5
"""Call tests per item."""


def _item(
    kind: str,
    task: str,
    header: str,
    right: tuple[str, str],
    wrong: tuple[str, str],
    inputs: list[Any],
    solve: Callable[[Any], Any],
) -> Item:
    """Build an item.

    Args:
        kind: kind of item.
        task: task in words.
        header: ``name(parameter)``.
        right: reasoning and returned expression of the correct solution.
        wrong: the same of the incorrect one.
        inputs: test arguments.
        solve: function that computes the expected outputs.
    """
    name = header.partition("(")[0]
    tests = {"fn_name": name, "inputs": [[value] for value in inputs], "outputs": [solve(value) for value in inputs]}
    correct, incorrect = (
        Solution(reasoning, f"def {header}: return {expression}") for reasoning, expression in (right, wrong)
    )
    row = {"prompt": f"write {header}: {task}.", "tests": tests, "solution": correct.answer, "kind": kind}
    return Item(row, correct, incorrect)


def _number(rng: random.Random) -> tuple[str, str, list[int]]:
    """Sample header, parameter and test arguments of a function of a number."""
    name, x = rng.choice(FUNCTION_NAMES), rng.choice(NUMBER_NAMES)
    return f"{name}({x})", x, rng.sample(range(1, 40), TESTS)


def _list(rng: random.Random) -> tuple[str, str, list[list[int]]]:
    """Sample header, parameter and test arguments of a function of a list with distinct entries."""
    name, s = rng.choice(FUNCTION_NAMES), rng.choice(LIST_NAMES)
    return f"{name}({s})", s, [rng.sample(range(1, 40), rng.randint(3, 5)) for _ in range(TESTS)]


def chain(rng: random.Random) -> Item:
    """Sample a task of two steps; the mistake skips the second."""
    header, x, inputs = _number(rng)
    a, b = rng.randint(2, 19), rng.randint(2, 9)
    task = rng.choice([f"add {a} to {x}, then times {b}", f"take {x} plus {a}, times {b}"])
    right = (f"first {x}+{a}, then *{b}", f"({x}+{a})*{b}")
    wrong = (f"first {x}+{a}", f"{x}+{a}")
    return _item("chain", task, header, right, wrong, inputs, lambda v: (v + a) * b)


def brackets(rng: random.Random) -> Item:
    """Sample a product with a sum; the mistake omits the brackets."""
    header, x, inputs = _number(rng)
    a, b = rng.randint(2, 19), rng.randint(2, 9)
    task = rng.choice([f"{b} times the sum of {x} and {a}", f"the sum of {x} and {a}, {b} times"])
    right = ("with brackets", f"{b}*({x}+{a})")
    wrong = ("no brackets", f"{b}*{x}+{a}")
    return _item("brackets", task, header, right, wrong, inputs, lambda v: b * (v + a))


def minus(rng: random.Random) -> Item:
    """Sample a difference; the mistake swaps the operands."""
    header, x, inputs = _number(rng)
    a = rng.randint(41, 99)
    task = rng.choice([f"take {x} away from {a}", f"{a} less {x}"])
    right, wrong = (f"{a} is first", f"{a}-{x}"), (f"{x} is first", f"{x}-{a}")
    return _item("minus", task, header, right, wrong, inputs, lambda v: a - v)


def last(rng: random.Random) -> Item:
    """Sample a task on the last entry of a list; the mistake takes the first."""
    header, s, inputs = _list(rng)
    a = rng.randint(2, 29)
    task = rng.choice([f"the last of {s} plus {a}", f"add {a} to the last of {s}"])
    right, wrong = ("take the last", f"{s}[-1]+{a}"), ("take the first", f"{s}[0]+{a}")
    return _item("last", task, header, right, wrong, inputs, lambda v: v[-1] + a)


def total(rng: random.Random) -> Item:
    """Sample the sum of a list followed by a second step; the mistake skips the second step."""
    header, s, inputs = _list(rng)
    a = rng.randint(2, 39)
    task = rng.choice([f"add up {s}, then take away {a}", f"the sum of {s} less {a}"])
    right = (f"first sum {s}, then -{a}", f"sum({s})-{a}")
    wrong = (f"first sum {s}", f"sum({s})")
    return _item("total", task, header, right, wrong, inputs, lambda v: sum(v) - a)


def above(rng: random.Random) -> Item:
    """Sample a strict comparison; the mistake includes the limit."""
    header, x, inputs = _number(rng)
    a = rng.randint(2, 39)
    inputs = [a, a - 1, a + 1, *inputs[:2]]
    task = rng.choice([f"tell if {x} is more than {a}", f"is {x} above {a}"])
    right, wrong = (f"not {a} itself", f"{x}>{a}"), (f"{a} itself too", f"{x}>={a}")
    return _item("above", task, header, right, wrong, inputs, lambda v: v > a)


def count(rng: random.Random) -> Item:
    """Sample a count of one number in a list; the mistake counts all entries."""
    header, s, inputs = _list(rng)
    a = rng.randint(2, 39)
    inputs = [[a, *inputs[0]], [a, a, *inputs[1]], *inputs[2:]]
    task = rng.choice([f"how often is {a} in {s}", f"count the {a} in {s}"])
    right, wrong = (f"count {a}", f"{s}.count({a})"), ("count all", f"len({s})")
    return _item("count", task, header, right, wrong, inputs, lambda v: v.count(a))


def up_to(rng: random.Random) -> Item:
    """Sample a sum over a range that includes its end; the mistake excludes the end."""
    header, x, inputs = _number(rng)
    a = rng.randint(1, 29)
    inputs = [a, *(a + v for v in inputs[1:])]
    task = rng.choice([f"add all from {a} to {x}", f"the sum of {a} up to {x}"])
    right = (f"{x} itself too", f"sum(range({a},{x}+1))")
    wrong = (f"not {x} itself", f"sum(range({a},{x}))")
    return _item("up_to", task, header, right, wrong, inputs, lambda v: sum(range(a, v + 1)))


KINDS: dict[str, ItemSampler] = {
    "chain": chain,
    "brackets": brackets,
    "minus": minus,
    "last": last,
    "total": total,
    "above": above,
    "count": count,
    "up_to": up_to,
}
"""Kinds of code items."""
