"""Names that a program finds without importing them, as the data sets of LeetCode style expect."""

from __future__ import annotations

import types
from typing import Any

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


def build() -> dict[str, Any]:
    """Run the imports once; every program gets a copy of the names."""
    module = types.ModuleType("solution")
    exec(compile(_SOURCE, "<preamble>", "exec"), module.__dict__)
    names = dict(module.__dict__)
    for name in ("__name__", "__builtins__", "__doc__", "__loader__", "__package__", "__spec__"):
        names.pop(name, None)
    return names
