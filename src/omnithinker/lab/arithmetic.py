"""Math items: one- and two-step word problems with small whole numbers."""

from __future__ import annotations

import random

from omnithinker.lab.items import Item, ItemSampler, Solution, sample_words
from omnithinker.lab.words import NAMES, OBJECTS


def _item(kind: str, prompt: str, right: tuple[str, int], wrong: tuple[str, int]) -> Item:
    row = {"prompt": prompt, "answer": str(right[1]), "kind": kind}
    return Item(row, Solution(right[0], str(right[1])), Solution(wrong[0], str(wrong[1])))


def _scene(rng: random.Random) -> tuple[str, str, str]:
    """Sample two names and a countable object."""
    first, second = sample_words(rng, NAMES, 2)
    return first, second, rng.choice(OBJECTS)


def carry(rng: random.Random) -> Item:
    """Sample a two-digit sum with a carry; the mistake omits the carry."""
    who, _, what = _scene(rng)
    units, more_units = rng.choice([(u, v) for u in range(1, 10) for v in range(1, 10) if u + v >= 10])
    tens, more_tens = rng.choice([(t, s) for t in range(1, 8) for s in range(1, 8) if t + s <= 8])
    a, b = 10 * tens + units, 10 * more_tens + more_units
    prompt = rng.choice(
        [
            f"{who} has {a} {what} and buys {b} more. how many {what} now?",
            f"there are {a} {what}, and {who} brings {b}. how many in all?",
        ]
    )
    first = f"{units}+{more_units}={units + more_units}"
    no_carry = f"{first}, {tens}+{more_tens}={tens + more_tens}"
    with_carry = f"{first}, carry, {tens}+{more_tens}+1={tens + more_tens + 1}"
    return _item("carry", prompt, (with_carry, a + b), (no_carry, a + b - 10))


def borrow(rng: random.Random) -> Item:
    """Sample a two-digit difference with a borrow; the mistake subtracts the smaller digit from the larger."""
    who, _, what = _scene(rng)
    units, less_units = rng.choice([(u, v) for u in range(9) for v in range(1, 10) if u < v])
    tens, less_tens = rng.choice([(t, s) for t in range(3, 10) for s in range(1, 8) if t - s >= 2])
    a, b = 10 * tens + units, 10 * less_tens + less_units
    prompt = rng.choice(
        [
            f"{who} has {a} {what} and sells {b}. how many {what} are left?",
            f"there are {a} {what}, and {who} takes {b}. how many stay?",
        ]
    )
    swapped = f"{less_units}-{units}={less_units - units}, {tens}-{less_tens}={tens - less_tens}"
    digit = 10 + units - less_units
    borrowed = f"borrow, 1{units}-{less_units}={digit}, {tens - 1}-{less_tens}={tens - 1 - less_tens}"
    return _item("borrow", prompt, (borrowed, a - b), (swapped, 10 * (tens - less_tens) + less_units - units))


def price(rng: random.Random) -> Item:
    """Sample a sum followed by a product; the mistake skips the product."""
    who, _, what = _scene(rng)
    a, b = rng.choice([(a, b) for a in range(2, 8) for b in range(2, 8) if a + b <= 9])
    cost = rng.randint(2, 9)
    prompt = rng.choice(
        [
            f"{who} buys {a} red and {b} blue {what} for {cost} coins each. how many coins?",
            f"{a} old and {b} new {what} cost {cost} coins each. what does {who} pay?",
        ]
    )
    step = f"first {a}+{b}={a + b}"
    return _item("price", prompt, (f"{step}, then {a + b}*{cost}={(a + b) * cost}", (a + b) * cost), (step, a + b))


def change(rng: random.Random) -> Item:
    """Sample a sum followed by a difference; the mistake skips the difference."""
    who, other, what = _scene(rng)
    a, b = rng.randint(3, 12), rng.randint(2, 7)
    c = rng.randint(2, min(9, a + b - 1))
    prompt = rng.choice(
        [
            f"{who} has {a} {what}, finds {b} and gives {c} to {other}. how many now?",
            f"{who} had {a} {what}, got {b} and lost {c}. how many has {who}?",
        ]
    )
    step = f"first {a}+{b}={a + b}"
    return _item("change", prompt, (f"{step}, then {a + b}-{c}={a + b - c}", a + b - c), (step, a + b))


def boxes(rng: random.Random) -> Item:
    """Sample a product; the mistake adds."""
    who, _, what = _scene(rng)
    a, b = rng.randint(3, 9), rng.randint(3, 9)
    prompt = rng.choice(
        [
            f"{who} has {a} boxes with {b} {what} in each. how many {what}?",
            f"{a} bags hold {b} {what} each. how many {what} has {who}?",
        ]
    )
    return _item("boxes", prompt, (f"{a}*{b}={a * b}", a * b), (f"{a}+{b}={a + b}", a + b))


def compare(rng: random.Random) -> Item:
    """Sample a difference; the mistake adds."""
    who, other, what = _scene(rng)
    a, b = rng.randint(8, 19), rng.randint(2, 7)
    prompt = rng.choice(
        [
            f"{who} has {a} {what}, {other} has {b}. how many more has {who}?",
            f"{other} has {b} {what} and {who} {a}. how many less has {other}?",
        ]
    )
    return _item("compare", prompt, (f"{a}-{b}={a - b}", a - b), (f"{a}+{b}={a + b}", a + b))


def at_first(rng: random.Random) -> Item:
    """Sample a question about the first number; the mistake subtracts where no calculation is needed."""
    who, other, what = _scene(rng)
    a, b = rng.randint(11, 29), rng.randint(2, 9)
    prompt = rng.choice(
        [
            f"{who} had {a} {what} and gave {b} to {other}. how many had {who} at first?",
            f"{who} had {a} {what} and lost {b}. how many were there at first?",
        ]
    )
    return _item("at_first", prompt, (f"at first {a}", a), (f"{a}-{b}={a - b}", a - b))


def share(rng: random.Random) -> Item:
    """Sample a quotient; the mistake subtracts."""
    who, _, what = _scene(rng)
    b, each = rng.randint(3, 9), rng.randint(3, 9)
    a = b * each
    prompt = rng.choice(
        [
            f"{who} shares {a} {what} among {b} friends. how many for each?",
            f"{who} puts {a} {what} into {b} boxes. how many in each?",
        ]
    )
    return _item("share", prompt, (f"{a}/{b}={each}", each), (f"{a}-{b}={a - b}", a - b))


KINDS: dict[str, ItemSampler] = {
    "carry": carry,
    "borrow": borrow,
    "price": price,
    "change": change,
    "boxes": boxes,
    "compare": compare,
    "at_first": at_first,
    "share": share,
}
"""Kinds of math items."""
