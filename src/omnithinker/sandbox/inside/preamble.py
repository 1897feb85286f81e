"""Names that programs may use without importing them, as LeetCode-style data sets expect."""

from __future__ import annotations

import _thread
import builtins
import collections
import os
import types
from collections.abc import Callable
from typing import Any

# Imported without its reseeding after every fork, which would cost a child more time than its confinement. A program
# also gets the same random numbers in every run, so its verdict is reproducible.
_register, os.register_at_fork = os.register_at_fork, lambda **_: None
import random  # noqa: E402

os.register_at_fork = _register

_SOURCE = """
import bisect, collections, copy, functools, heapq, io, itertools, json, math, operator, random, re, statistics
import string, sys, time, datetime, decimal, fractions, typing
from typing import *
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from bisect import bisect_left, bisect_right, insort
from functools import cache, cmp_to_key, lru_cache, reduce
from heapq import heapify, heappop, heappush, heappushpop, nlargest, nsmallest
from itertools import accumulate, chain, combinations, count, groupby, permutations, product, zip_longest
from math import ceil, comb, factorial, floor, gcd, inf, isqrt, lcm, log, log2, sqrt
from copy import deepcopy

exit = quit = sys.exit  # the interpreter runs without the module that defines them

class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next

class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val = val
        self.left = left
        self.right = right

class Node:
    def __init__(self, val=0, left=None, right=None, next=None):
        self.val = val
        self.left = left
        self.right = right
        self.next = next
"""

_STAR_IMPORTS = (
    "from functools import *; from itertools import *; from heapq import *; from math import *; from string import *"
)
"""Further names that solutions of LeetCode-style data sets use. Tests do not: there ``repeat`` is the program's."""

_LARGEST_STACK = 64 << 20
HELPER_ATTRIBUTES = ("val", "next", "left", "right")
"""Attributes that :func:`judge_helpers` read."""


def build() -> dict[str, Any]:
    """Run the imports once, in the template, and return their names together with the built-ins.

    Programs get this dictionary as their built-ins. Copying the names into each program's module would touch, and
    therefore copy, the memory page of every object.
    """
    random.seed(0)
    _thread.stack_size = _stack_size  # before any program imports threading, which every end of a run would visit
    return {**_of_solutions(), **namespace()}


def _stack_size(size: int = 0, *, _set: Callable[[int], int] = _thread.stack_size) -> int:
    """Set the size of threads' stacks as ``threading.stack_size`` does, to a size that fits into the memory limit.

    Programs ask for 512 MiB to recurse deeply; the interpreter needs only a part of it.
    """
    return _set(min(size, _LARGEST_STACK))


def namespace() -> dict[str, Any]:
    """Return the names of the preamble together with the built-ins."""
    module = types.ModuleType("solution")
    exec(compile(_SOURCE, "<preamble>", "exec"), module.__dict__)
    names = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    return {**vars(builtins), **names}


def _of_solutions() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(_STAR_IMPORTS, names)
    return {name: value for name, value in names.items() if not name.startswith("__")}


def judge_helpers(names: dict[str, Any]) -> dict[str, Any]:
    """Return the helpers that LeetCode-style tests assume, built on the preamble's node classes."""
    list_class, tree_class = names["ListNode"], names["TreeNode"]

    def list_node(values: list[Any]) -> Any:
        head = None
        for value in reversed(values or []):
            head = list_class(value, head)
        return head

    def tree_node(values: list[Any]) -> Any:
        if not values or values[0] is None:
            return None
        root = tree_class(values[0])
        queue, rest = collections.deque([root]), iter(values[1:])
        for value in rest:
            parent = queue.popleft()
            for side, item in (("left", value), ("right", next(rest, None))):
                if item is not None:
                    child = tree_class(item)
                    setattr(parent, side, child)
                    queue.append(child)
        return root

    def is_same_list(first: Any, second: Any) -> bool:
        while first is not None and second is not None:
            if first.val != second.val:
                return False
            first, second = first.next, second.next
        return first is None and second is None

    def is_same_tree(first: Any, second: Any) -> bool:
        stack = [(first, second)]
        while stack:
            a, b = stack.pop()
            if a is None or b is None:
                if a is not b:
                    return False
                continue
            if a.val != b.val:
                return False
            stack += [(a.left, b.left), (a.right, b.right)]
        return True

    helpers = (list_node, tree_node, is_same_list, is_same_tree)
    return {helper.__name__: helper for helper in helpers}
