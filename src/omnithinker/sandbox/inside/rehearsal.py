"""What every child does, done in the fork server first.

A fork shares memory until one side writes to it, and most of what a short run costs is the copying of pages. What the
interpreter writes on its first passes through some code (specialised instructions, caches of methods, buffers)
is written here once, and then shared.
"""

from __future__ import annotations

import io
import os
import socket
import sys
from typing import Any

from omnithinker.sandbox.inside import runner
from omnithinker.sandbox.inside.channel import Channel
from omnithinker.sandbox.inside.confine import Jail
from omnithinker.sandbox.inside.report import Reporter

_ROUNDS = 20
"""The interpreter specialises code that has run a few times; more than twice as often as that."""
_CALLED = """
from typing import List
class Solution:
    def f(self, x: List[int], k=0) -> int:
        seen = {}
        for i, v in enumerate(sorted(x)):
            seen[v] = i
        return [len(seen), sum(x), max(k, 1), str(k)]
"""
_PROGRAM = """
import sys
def main():
    n = int(input())
    a, b = map(int, input().split())
    print(a + b, n, *range(2), sep=" ")
    for line in sys.stdin:
        print(line.strip())
main()
"""
_SOLVER = {"mode": "solver", "code": _CALLED}
_JUDGE = {
    "mode": "judge",
    "sources": ["assert Solution().f([1, 2])[:2] == [2, 3]"] * _ROUNDS,
    "preamble": "",
    "entry_point": None,
    "uses": ["Solution"],
}
_INPUT = "1\n2 3\nx\n"


def rehearse(names: dict[str, Any], jail: Jail) -> None:
    """Run small programs in every mode, without a trace but for the warmth.

    Args:
        names: the preamble, built-in names included.
        jail: that children will enter.
    """
    modules, streams = dict(sys.modules), (sys.stdin, sys.stdout)
    sink = os.open(os.devnull, os.O_WRONLY)
    reporter = Reporter(sink)
    calls = [[[[1, 2]], {"d": [["k", 1]]}]] * 2
    for _ in range(_ROUNDS):
        jail.rehearse()
        runner.serve({"mode": "call", "code": _CALLED, "fn_name": "f", "calls": calls}, names, reporter)
        sys.stdin, sys.stdout = io.TextIOWrapper(io.BytesIO(_INPUT.encode())), io.TextIOWrapper(io.BytesIO())
        runner.serve({"mode": "stdio", "code": _PROGRAM}, names, reporter)
        sys.stdin, sys.stdout = streams
    for mine, theirs in ((_JUDGE, _SOLVER), (_SOLVER, _JUDGE)):
        _pair(mine, theirs, names, reporter)
    os.close(sink)
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]
    sys.modules.update(modules)


def _pair(mine: dict[str, Any], theirs: dict[str, Any], names: dict[str, Any], reporter: Reporter) -> None:
    """One half of a judge/solver pair here, the other in a process that ends with it."""
    here, there = socket.socketpair()
    child = os.fork()
    role, end, other = (theirs, there, here) if child == 0 else (mine, here, there)
    other.close()
    runner.serve(role, names, reporter, Channel(end.fileno()))
    if child == 0:
        os._exit(0)
    end.close()
    os.waitpid(child, 0)
